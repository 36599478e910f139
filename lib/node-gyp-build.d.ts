/** Types of node-gyp-build, which has none of its own. */
declare module 'node-gyp-build' {
  /** Loads the addon of the package in `root`: its own build, or the prebuilt binary that fits. */
  export default function load(root: string): unknown;
}
