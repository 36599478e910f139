/** Protocol buffers by field numbers: a schema written as a table becomes message types that encode and decode. */
import type { Type } from 'protobufjs';

/** The schema's type and number of a field, with 'repeated' in front where it is. */
export type Field = [type: string, id: number] | [rule: 'repeated', type: string, id: number];
export type Messages = Record<string, Record<string, Field>>;

/**
 * A function that gives the types of a schema by name. protobufjs is loaded at its first call: only who reads or writes
 * such files needs it.
 */
export function messages<T extends Messages>(schema: T): (name: keyof T & string) => Promise<Type> {
  const build = async () => {
    const { Root } = (await import('protobufjs/light')).default;
    const nested = Object.entries(schema).map(([name, fields]) => {
      const described = Object.entries(fields).map(([field, parts]) => {
        const [id, type, rule] = [...parts].reverse();
        // These schemas are proto2, where repeated numbers are not packed.
        return [field, rule ? { rule, type, id, options: { packed: false } } : { type, id }];
      });
      return [name, { fields: Object.fromEntries(described) as Record<string, never> }];
    });
    return Root.fromJSON({ nested: Object.fromEntries(nested) as Record<string, never> });
  };
  let root: ReturnType<typeof build> | undefined;
  return async (name) => (await (root ??= build())).lookupType(name);
}
