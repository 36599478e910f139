/** What the bench and its worker processes say to each other. */
import type { Batch, Job } from './peer';

export type Request =
  | {
      type: 'load';
      /** Name of a file in peers/. */
      peer: string;
      job: Job;
      batches: Batch[];
      /** File of float32: the true rows of the first batch. */
      reference: string;
      /** Most relative L2 error against it. */
      tolerance: number;
    }
  /** Run the first batch until it is warm. */
  | { type: 'warm' }
  /** With `watch`, a timer of 1 ms tells how late the event loop is; on few cores it takes some percent of them. */
  | { type: 'time'; batch: number; repeats: number; watch: boolean };

/** What a fresh process found out while it loaded and ran for the first time. */
export interface Ready {
  type: 'ready';
  version: string;
  /** Loading and the first result. */
  loadMs: number;
  /** Resident memory that these two added. */
  addedBytes: number;
  /** Relative L2 error of the first batch's real rows. */
  error: number;
}

export type Reply =
  | Ready
  | { type: 'warm'; ms: number }
  | {
      type: 'time';
      /** One a repeat, in milliseconds. */
      times: number[];
      /** Delay of a timer of 1 ms in this round, in milliseconds, if it was watched. */
      delay: { p99: number; max: number } | null;
    }
  | { type: 'unavailable'; reason: string }
  | { type: 'failed'; reason: string };
