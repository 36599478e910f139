/** Collects the nodes, weights, inputs and outputs of one ONNX graph. */
import { ATTRIBUTE_TYPES, DATA_TYPES, type DataType } from './onnx-schema';

/** A weight or constant of the graph; its bytes are written as they lie in memory. */
export interface Initializer {
  name: string;
  type: DataType;
  dims: number[];
  data: Float32Array | Int8Array | BigInt64Array;
}

/** An input or output; a string among the dims names a size that is known only when the graph runs. */
interface ValueInfo {
  name: string;
  type: DataType;
  dims: (number | string)[];
}

/** A number that is stored as a float; plain numbers are stored as integers. */
export class Float {
  constructor(readonly value: number) {}
}

type Attribute = number | number[] | string | Float;

interface NodeOptions {
  attributes?: Record<string, Attribute>;
  /** Name of the only output; by default one is made up. */
  output?: string;
}

function attributeProto(name: string, value: Attribute): object {
  if (value instanceof Float) return { name, type: ATTRIBUTE_TYPES.float, f: value.value };
  if (Array.isArray(value)) return { name, type: ATTRIBUTE_TYPES.ints, ints: value };
  if (typeof value === 'string') return { name, type: ATTRIBUTE_TYPES.string, s: Buffer.from(value) };
  return { name, type: ATTRIBUTE_TYPES.int, i: value };
}

function valueProto({ name, type, dims }: ValueInfo): object {
  const dim = dims.map((extent) =>
    typeof extent === 'string' ? { dimParam: extent } : { dimValue: extent },
  );
  return { name, type: { tensorType: { elemType: DATA_TYPES[type], shape: { dim } } } };
}

/** A graph under construction; nodes are added in the order in which they run. */
export class Graph {
  readonly #name: string;
  readonly #nodes: object[] = [];
  readonly #initializers = new Map<string, Initializer>();
  readonly #inputs: ValueInfo[] = [];
  readonly #outputs: ValueInfo[] = [];
  #count = 0;

  constructor(name: string) {
    this.#name = name;
  }

  input(name: string, type: DataType, dims: (number | string)[]): string {
    this.#inputs.push({ name, type, dims });
    return name;
  }

  output(name: string, type: DataType, dims: (number | string)[]): void {
    this.#outputs.push({ name, type, dims });
  }

  /** Adds a weight under a name unless it is there already: what several nodes use is stored once. */
  initializer(name: string, type: DataType, dims: number[], make: () => Initializer['data']): string {
    if (!this.#initializers.has(name)) this.#initializers.set(name, { name, type, dims, data: make() });
    return name;
  }

  /** A small vector of int64, such as a shape or a list of axes. */
  integers(...values: number[]): string {
    return this.initializer(`integers_${values.join('_')}`, 'int64', [values.length], () =>
      BigInt64Array.from(values, BigInt),
    );
  }

  /** A float32 number without dimensions. */
  scalar(value: number): string {
    return this.initializer(`scalar_${value}`, 'float', [], () => Float32Array.of(value));
  }

  /** Adds a node with one output and returns the output's name; '' among the inputs leaves an optional one out. */
  node(operator: string, inputs: string[], options: NodeOptions = {}): string {
    return this.nodes(operator, inputs, 1, options)[0];
  }

  /** Adds a node with several outputs. */
  nodes(operator: string, inputs: string[], count: number, options: NodeOptions = {}): string[] {
    const name = `${this.#name}/${operator}_${this.#count++}`;
    const outputs =
      count === 1
        ? [options.output ?? `${name}_out`]
        : Array.from({ length: count }, (_, i) => `${name}_out${i}`);
    const attribute = Object.entries(options.attributes ?? {}).map((entry) => attributeProto(...entry));
    this.#nodes.push({ input: inputs, output: outputs, name, opType: operator, attribute });
    return outputs;
  }

  get initializers(): Initializer[] {
    return [...this.#initializers.values()];
  }

  /** The graph as protobufjs encodes it, without the initializers, which onnx-file.ts writes. */
  proto(): object {
    return {
      name: this.#name,
      node: this.#nodes,
      input: this.#inputs.map(valueProto),
      output: this.#outputs.map(valueProto),
    };
  }
}
