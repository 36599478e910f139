/** ALBERT as an ONNX graph of standard operators, every shared weight stored once. */
import { AlbertError } from '../errors';
import type { Head } from '../heads';
import { show } from '../options';
import type { AlbertConfig } from '../config';
import type { Tensor } from '../tensor';
import { Float, Graph } from './onnx-graph';
import { type Layer, linear, lookup, type Precision, score } from './onnx-linear';
import { DATA_TYPES } from './onnx-schema';

/** What a graph is made from. */
interface GraphSource {
  head: Head;
  config: AlbertConfig;
  /** The values of a parameter, by its name without 'albert.'. */
  parameters: Map<string, Tensor>;
}

/** Which sets of weights a block uses, by what their names begin with: layers may share one half only. */
interface Block {
  attention: string;
  feedForward: string;
}

// Added to the scores of masked keys: far below any score, so their weights become 0, and finite, so that a sequence
// without any real token gives numbers.
const MASKED = -10000;

// The names that config.json may use, as in native/albert/config.cc.
const GELU_ERF = ['gelu', 'gelu_python'];
const GELU_TANH = ['gelu_new', 'gelu_pytorch_tanh', 'gelu_python_tanh', 'gelu_fast', 'gelu_accurate'];

class AlbertGraph {
  readonly graph = new Graph('albert');
  readonly #source: GraphSource;
  readonly #precision: Precision;
  // Values of config.json and sizes that the parameters tell.
  readonly #heads: number;
  readonly #hidden: number;
  readonly #epsilon: number;

  constructor(source: GraphSource, precision: Precision) {
    this.#source = source;
    this.#precision = precision;
    this.#heads = source.config.num_attention_heads as number;
    [this.#hidden] = this.#parameter('encoder.embedding_hidden_mapping_in.weight').dims;
    this.#epsilon = (source.config.layer_norm_eps as number | null | undefined) ?? 1e-12;
  }

  #parameter(name: string): Tensor {
    const tensor = this.#source.parameters.get(name);
    if (!tensor) {
      throw new AlbertError('CHECKPOINT', `expected the parameter '${name}' but the model has none`);
    }
    return tensor;
  }

  #layer(name: string, factor = 1): Layer {
    return {
      weight: this.#parameter(`${name}.weight`),
      bias: this.#parameter(`${name}.bias`),
      factor,
    };
  }

  /** Small layers whose results are read off directly stay in float32. */
  #classifier(name: string, x: string, output?: string): string {
    return linear(this.graph, 'fp32', name, x, [this.#layer(name)], output);
  }

  #linear(name: string, x: string): string {
    return linear(this.graph, this.#precision, name, x, [this.#layer(name)]);
  }

  #weight(name: string): string {
    const { dims, data } = this.#parameter(name);
    return this.graph.initializer(name, 'float', dims, () => data);
  }

  #norm(name: string, x: string, output?: string): string {
    const inputs = [x, this.#weight(`${name}.weight`), this.#weight(`${name}.bias`)];
    const attributes = { axis: -1, epsilon: new Float(this.#epsilon) };
    return this.graph.node('LayerNormalization', inputs, { attributes, output });
  }

  #activation(x: string): string {
    const name = this.#source.config.hidden_act ?? 'gelu_new';
    if (GELU_ERF.includes(name)) return this.graph.node('Gelu', [x]);
    if (GELU_TANH.includes(name))
      return this.graph.node('Gelu', [x], { attributes: { approximate: 'tanh' } });
    if (name === 'relu') return this.graph.node('Relu', [x]);
    if (name === 'tanh') return this.graph.node('Tanh', [x]);
    if (name === 'silu' || name === 'swish')
      return this.graph.node('Mul', [x, this.graph.node('Sigmoid', [x])]);
    if (name === 'linear' || name === 'identity') return x;
    throw new AlbertError(
      'INVALID_CONFIG',
      `expected an activation that can be exported for hidden_act, such as gelu, gelu_new or relu, but found ${show(name)}`,
    );
  }

  /** [B, T] ids and types to [B, T, H]. */
  embeddings(ids: string, types: string): string {
    const { graph } = this;
    const word = 'embeddings.word_embeddings.weight';
    const words = lookup(graph, this.#precision, word, this.#parameter(word), ids);
    const typed = graph.node('Gather', [this.#weight('embeddings.token_type_embeddings.weight'), types]);
    const zero = graph.integers(0);
    const length = graph.node('Shape', [ids], { attributes: { start: -1 } });
    const positions = this.#weight('embeddings.position_embeddings.weight');
    const placed = graph.node('Slice', [positions, zero, length, zero]);
    const sum = graph.node('Add', [graph.node('Add', [words, typed]), placed]);
    return this.#linear('encoder.embedding_hidden_mapping_in', this.#norm('embeddings.LayerNorm', sum));
  }

  /** [B, T] with 1 for real tokens to [B, 1, 1, T] to be added to scores. */
  maskScores(mask: string): string {
    const { graph } = this;
    const real = graph.node('Cast', [mask], { attributes: { to: DATA_TYPES.float } });
    const masked = graph.node('Mul', [graph.node('Sub', [graph.scalar(1), real]), graph.scalar(MASKED)]);
    return graph.node('Unsqueeze', [masked, graph.integers(1, 2)]);
  }

  #attention(name: string, x: string, mask: string): string {
    const { graph } = this;
    const size = this.#hidden / this.#heads;
    // The scale of the scores lies in the weights of the queries: one pass over [B, A, T, T] less.
    const layers = [
      this.#layer(`${name}.query`, 1 / Math.sqrt(size)),
      this.#layer(`${name}.key`),
      this.#layer(`${name}.value`),
    ];
    const fused = linear(graph, this.#precision, `${name}.query_key_value`, x, layers);
    const parts = graph.nodes('Split', [fused], 3, { attributes: { axis: -1, num_outputs: 3 } });
    const split = graph.integers(0, 0, this.#heads, size);
    const [q, k, v] = parts.map((part, i) =>
      graph.node('Transpose', [graph.node('Reshape', [part, split])], {
        attributes: { perm: i === 1 ? [0, 2, 3, 1] : [0, 2, 1, 3] },
      }),
    );
    const scores = graph.node('Add', [graph.node('MatMul', [q, k]), mask]);
    const shares = graph.node('Softmax', [scores], { attributes: { axis: -1 } });
    const context = graph.node('Transpose', [graph.node('MatMul', [shares, v])], {
      attributes: { perm: [0, 2, 1, 3] },
    });
    return this.#linear(
      `${name}.dense`,
      graph.node('Reshape', [context, graph.integers(0, 0, this.#hidden)]),
    );
  }

  #block(names: Block, x: string, mask: string, output?: string): string {
    const { attention, feedForward } = names;
    const attended = this.#attention(`${attention}.attention`, x, mask);
    const middle = this.#norm(`${attention}.attention.LayerNorm`, this.graph.node('Add', [attended, x]));
    const inner = this.#activation(this.#linear(`${feedForward}.ffn`, middle));
    const outer = this.#linear(`${feedForward}.ffn_output`, inner);
    const sum = this.graph.node('Add', [outer, middle]);
    return this.#norm(`${feedForward}.full_layer_layer_norm`, sum, output);
  }

  /** The names of the half of each block, layer after layer, that has a weight called `part`. */
  #halves(part: string): string[] {
    const prefix = 'encoder.albert_layer_groups';
    const sets = [...this.#source.parameters.keys()].filter((name) => name.endsWith(part));
    const groups = 1 + Math.max(...sets.map((name) => Number(name.slice(prefix.length + 1).split('.')[0])));
    const inners = sets.length / groups;
    const layers = this.#source.config.num_hidden_layers as number;
    return Array.from({ length: layers }, (_, layer) => Math.floor((layer * groups) / layers)).flatMap(
      (group) => Array.from({ length: inners }, (_, inner) => `${prefix}.${group}.albert_layers.${inner}`),
    );
  }

  /** [B, T, H] through all layers; the last one's result is called `output`. */
  encoder(x: string, mask: string, output?: string): string {
    const feedForwards = this.#halves('.ffn.weight');
    const blocks = this.#halves('.attention.query.weight').map((attention, i) => ({
      attention,
      feedForward: feedForwards[i],
    }));
    return blocks.reduce(
      (rows, block, i) => this.#block(block, rows, mask, i === blocks.length - 1 ? output : undefined),
      x,
    );
  }

  /** [B, T, H] to [B, H], from the first row of each sequence. */
  pooler(x: string, output?: string): string {
    const zero = this.graph.initializer('zero', 'int64', [], () => BigInt64Array.of(0n));
    const first = this.graph.node('Gather', [x, zero], { attributes: { axis: 1 } });
    return this.graph.node('Tanh', [this.#linear('pooler', first)], { output });
  }

  /** [B, T, H] to scores [B, T, V]. */
  #language(x: string, ids: string, output: string): void {
    const { graph } = this;
    const transformed = this.#activation(this.#linear('predictions.dense', x));
    const rows = this.#norm('predictions.LayerNorm', transformed);
    const decoder = 'predictions.decoder.weight';
    const own = this.#source.parameters.has(decoder);
    const name = own ? decoder : 'embeddings.word_embeddings.weight';
    const layer = { weight: this.#parameter(name), bias: this.#parameter('predictions.bias') };
    score(graph, this.#precision, name, rows, graph.node('Shape', [ids]), layer, output);
    graph.output(output, 'float', ['batch_size', 'sequence_length', layer.bias.dims[0]]);
  }

  /** The head on the encoder's result [B, T, H]. */
  head(x: string, ids: string, given: string): void {
    const { graph } = this;
    const labels = () => this.#parameter('classifier.bias').dims[0];
    switch (this.#source.head) {
      case 'base':
        graph.output(x, 'float', ['batch_size', 'sequence_length', this.#hidden]);
        graph.output(this.pooler(x, 'pooler_output'), 'float', ['batch_size', this.#hidden]);
        break;
      case 'pretraining':
        this.#language(x, ids, 'prediction_logits');
        this.#classifier('sop_classifier.classifier', this.pooler(x), 'sop_logits');
        graph.output('sop_logits', 'float', ['batch_size', 2]);
        break;
      case 'masked-lm':
        this.#language(x, ids, 'logits');
        break;
      case 'sequence-classification':
        this.#classifier('classifier', this.pooler(x), 'logits');
        graph.output('logits', 'float', ['batch_size', labels()]);
        break;
      case 'token-classification':
        this.#classifier('classifier', x, 'logits');
        graph.output('logits', 'float', ['batch_size', 'sequence_length', labels()]);
        break;
      case 'question-answering': {
        const both = this.#classifier('qa_outputs', x);
        const parts = graph.nodes('Split', [both], 2, { attributes: { axis: -1, num_outputs: 2 } });
        ['start_logits', 'end_logits'].forEach((output, i) => {
          graph.node('Squeeze', [parts[i], graph.integers(-1)], { output });
          graph.output(output, 'float', ['batch_size', 'sequence_length']);
        });
        break;
      }
      case 'multiple-choice': {
        const scores = this.#classifier('classifier', this.pooler(x));
        const shape = graph.node('Shape', [given], { attributes: { start: 0, end: 2 } });
        graph.node('Reshape', [scores, shape], { output: 'logits' });
        graph.output('logits', 'float', ['batch_size', 'num_choices']);
      }
    }
  }

  /** The inputs in the order of Hugging Face; multiple choice joins its first two dimensions. */
  inputs(): { given: string; ids: string; mask: string; types: string } {
    const { graph } = this;
    const choices = this.#source.head === 'multiple-choice';
    const dims = ['batch_size', ...(choices ? ['num_choices'] : []), 'sequence_length'];
    const names = ['input_ids', 'attention_mask', 'token_type_ids'];
    const given = names.map((name) => graph.input(name, 'int64', dims));
    let rows = given;
    if (choices) {
      const length = graph.node('Shape', [given[0]], { attributes: { start: -1 } });
      const shape = graph.node('Concat', [graph.integers(-1), length], { attributes: { axis: 0 } });
      rows = given.map((input) => graph.node('Reshape', [input, shape]));
    }
    return { given: given[0], ids: rows[0], mask: rows[1], types: rows[2] };
  }
}

/** The graph of a model with its head, with the input and output names that Hugging Face's exporter gives them. */
export function albertGraph(source: GraphSource, precision: Precision): Graph {
  const albert = new AlbertGraph(source, precision);
  const { given, ids, mask, types } = albert.inputs();
  const embedded = albert.embeddings(ids, types);
  const output = source.head === 'base' ? 'last_hidden_state' : undefined;
  albert.head(albert.encoder(embedded, albert.maskScores(mask), output), ids, given);
  return albert.graph;
}
