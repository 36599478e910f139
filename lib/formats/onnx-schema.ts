/** The messages of the public ONNX schema that an export needs, by their field numbers. */
import { type Messages, messages } from './protobuf';

// Source: onnx/onnx.proto of the ONNX project.
const MESSAGES = {
  ModelProto: {
    irVersion: ['int64', 1],
    producerName: ['string', 2],
    producerVersion: ['string', 3],
    graph: ['GraphProto', 7],
    opsetImport: ['repeated', 'OperatorSetIdProto', 8],
  },
  OperatorSetIdProto: { domain: ['string', 1], version: ['int64', 2] },
  GraphProto: {
    node: ['repeated', 'NodeProto', 1],
    name: ['string', 2],
    initializer: ['repeated', 'TensorProto', 5],
    input: ['repeated', 'ValueInfoProto', 11],
    output: ['repeated', 'ValueInfoProto', 12],
  },
  NodeProto: {
    input: ['repeated', 'string', 1],
    output: ['repeated', 'string', 2],
    name: ['string', 3],
    opType: ['string', 4],
    attribute: ['repeated', 'AttributeProto', 5],
  },
  AttributeProto: {
    name: ['string', 1],
    f: ['float', 2],
    i: ['int64', 3],
    s: ['bytes', 4],
    ints: ['repeated', 'int64', 8],
    type: ['int32', 20],
  },
  TensorProto: {
    dims: ['repeated', 'int64', 1],
    dataType: ['int32', 2],
    name: ['string', 8],
    rawData: ['bytes', 9],
    externalData: ['repeated', 'StringStringEntryProto', 13],
    dataLocation: ['int32', 14],
  },
  StringStringEntryProto: { key: ['string', 1], value: ['string', 2] },
  ValueInfoProto: { name: ['string', 1], type: ['TypeProto', 2] },
  TypeProto: { tensorType: ['TensorTypeProto', 1] },
  TensorTypeProto: { elemType: ['int32', 1], shape: ['TensorShapeProto', 2] },
  TensorShapeProto: { dim: ['repeated', 'DimensionProto', 1] },
  DimensionProto: { dimValue: ['int64', 1], dimParam: ['string', 2] },
} satisfies Messages;

/** Numbers of TensorProto.DataType. */
export const DATA_TYPES = { float: 1, int8: 3, int64: 7 } as const;
export type DataType = keyof typeof DATA_TYPES;

/** Numbers of AttributeProto.AttributeType. */
export const ATTRIBUTE_TYPES = { float: 1, int: 2, string: 3, ints: 7 } as const;

/** Field numbers of what onnx-file.ts writes without going through the encoder. */
export const GRAPH_FIELD = MESSAGES.ModelProto.graph[1];
export const INITIALIZER_FIELD = MESSAGES.GraphProto.initializer[2];
export const RAW_DATA_FIELD = MESSAGES.TensorProto.rawData[1];

/** A message type of the schema, ready to encode and decode. */
export const message = messages(MESSAGES);
