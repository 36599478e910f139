/** A worker process as the bench sees it: one request at a time, one reply each. */
import { type ChildProcess, fork } from 'node:child_process';
import path from 'node:path';
import { NotAvailable } from './peer';
import type { Ready, Reply, Request } from './protocol';

type ReplyTo<Type extends Request['type']> = Type extends 'load' ? Ready : Extract<Reply, { type: Type }>;

export class Contestant {
  readonly #process: ChildProcess;
  readonly #name: string;

  private constructor(name: string) {
    this.#name = name;
    this.#process = fork(path.join(__dirname, 'worker.js'), [], {
      execArgv: ['--expose-gc', '--no-warnings'],
      serialization: 'advanced',
    });
  }

  /** Starts a process, loads and verifies. @throws NotAvailable, or Error when the verification fails. */
  static async open(
    request: Extract<Request, { type: 'load' }>,
  ): Promise<{ contestant: Contestant; ready: Ready }> {
    const contestant = new Contestant(`${request.peer} ${request.job.dtype}`);
    try {
      return { contestant, ready: await contestant.ask(request) };
    } catch (error) {
      contestant.close();
      throw error;
    }
  }

  /** @throws NotAvailable, or Error when the worker failed or died. */
  ask<R extends Request>(request: R): Promise<ReplyTo<R['type']>> {
    return new Promise((resolve, reject) => {
      const died = (code: number | null, signal: string | null) =>
        reject(
          new Error(`the worker of ${this.#name} ended with ${signal ?? `code ${code}`} instead of replying`),
        );
      this.#process.once('exit', died);
      this.#process.once('message', (reply: Reply) => {
        this.#process.off('exit', died);
        if (reply.type === 'unavailable') reject(new NotAvailable(reply.reason));
        else if (reply.type === 'failed') reject(new Error(reply.reason));
        else resolve(reply as ReplyTo<R['type']>);
      });
      this.#process.send(request);
    });
  }

  close(): void {
    this.#process.kill('SIGKILL');
  }
}
