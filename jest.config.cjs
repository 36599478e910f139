// Tests run from TypeScript; the type checker runs over them in `npm run lint`, not at every test run.
'use strict';

module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  transform: { '\\.ts$': ['ts-jest', { tsconfig: 'test/tsconfig.json', diagnostics: false }] },
  globalSetup: '<rootDir>/test/support/compile.cjs',
  testTimeout: 60000,
  maxWorkers: 2,
};
