// The package's install step: takes the prebuilt binary that fits, or compiles with as many jobs as processors and memory allow.
'use strict';
const os = require('os');

// A compiler of these sources takes up to 0.4 GB, and leaves others room.
const memory = Math.min(os.totalmem(), process.constrainedMemory?.() || Infinity);
const jobs = Math.max(1, Math.min(os.availableParallelism(), Math.floor(memory / 2 ** 30)));
process.env.npm_config_jobs ??= String(jobs);
require('node-gyp-build/bin.js');
