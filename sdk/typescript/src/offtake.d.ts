/** The functions of the gateway, as componentize-qjs gives them to a module. */

declare module "offtake:transform/state@1.0.0" {
  const state: {
    getMany(keys: Uint8Array[]): (Uint8Array | null | undefined)[];
    putMany(entries: [Uint8Array, Uint8Array][], ttlSeconds: number | null): void;
    deleteMany(keys: Uint8Array[]): void;
  };
  export default state;
}

declare module "offtake:transform/host@1.0.0" {
  const host: {
    log(level: string, message: string): void;
    counter(name: string): number;
    histogram(name: string): number;
    add(id: number, delta: number): void;
    observe(id: number, value: number): void;
  };
  export default host;
}
