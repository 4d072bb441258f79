// What a plugin's entry file exports: `export * from "offtake-sdk/assembly/exports";`
export {
  offtake_abi_version, offtake_alloc, offtake_configure, offtake_on_schema, offtake_process,
} from "./abi";
