/** The package under test, on the same terms as its rivals. */
import { NotAvailable, type Peer } from '../peer';
import { albert } from '../subject';

export const peer: Peer = {
  start: () => albert().version(),

  async load({ folder, dtype, isa, threads, output }) {
    const { Albert, AlbertError, pipeline } = albert();
    const options = { dtype, threads, ...(isa ? { isa } : {}) };
    try {
      if (output === 'embedding') {
        const embed = await pipeline('feature-extraction', folder, options);
        return { prepare: (batch) => () => embed(batch.texts!, { pooling: 'mean' }) };
      }
      const model = await Albert.load(folder, { head: 'base', ...options });
      return {
        prepare:
          ({ input_ids, token_type_ids }) =>
          async () =>
            (await model.forward({ input_ids, token_type_ids }, { outputs: [output] }))[output],
      };
    } catch (error) {
      // The model and the threads are known to be right, so this is about the precision or the instruction set.
      if (error instanceof AlbertError && ['INVALID_ARGUMENT', 'DEVICE'].includes(error.code))
        throw new NotAvailable(`albert-native ${dtype}: ${error.message}`);
      throw error;
    }
  },
};
