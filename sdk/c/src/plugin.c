// The doors of the module: what it exports to the gateway, and what it imports from it.
#include "internal.h"

offtake_answer offtake_call_process(const uint8_t *data, uint32_t length) {
    offtake_batch batch = {0};
    if (!offtake_read_batch(data, length, &batch)) {
        return offtake_failure_frame(offtake_refuse(offtake_of("the batch cannot be read")));
    }
    offtake_verdict *verdict = offtake_begin_verdict(&batch);
    offtake_failure failure = offtake_plugin_process(&batch, verdict);
    return failure.failed ? offtake_failure_frame(failure) : offtake_finish_verdict(verdict);
}

#ifdef __wasm__
#define IMPORT(NAME) __attribute__((import_module("offtake"), import_name(NAME)))
IMPORT("log") void offtake_import_log(uint32_t level, const char *data, uint32_t length);
IMPORT("counter") uint32_t offtake_import_counter(const char *data, uint32_t length);
IMPORT("histogram") uint32_t offtake_import_histogram(const char *data, uint32_t length);
IMPORT("add") void offtake_import_add(uint32_t counter, uint32_t delta);
IMPORT("observe") void offtake_import_observe(uint32_t histogram, double value);

void offtake_log(uint32_t level, offtake_text line) {
    offtake_import_log(level, line.data, line.length);
}
uint32_t offtake_counter(offtake_text name) {
    return offtake_import_counter(name.data, name.length);
}
uint32_t offtake_histogram(offtake_text name) {
    return offtake_import_histogram(name.data, name.length);
}
void offtake_count(uint32_t counter, uint32_t delta) { offtake_import_add(counter, delta); }
void offtake_observe(uint32_t histogram, double value) { offtake_import_observe(histogram, value); }

#define EXPORT(NAME) __attribute__((export_name(NAME)))
EXPORT("offtake_abi_version") int32_t offtake_abi_version(void) { return 1; }

EXPORT("offtake_alloc") void *offtake_alloc(uint32_t length) {
    offtake_begin_call();
    return offtake_try_allocate(length);
}

static uint64_t packed(offtake_answer answer) {
    return (uint64_t)(uintptr_t)answer.data << 32 | answer.length;
}

EXPORT("offtake_configure") uint64_t offtake_configure(const uint8_t *data, uint32_t length) {
    return packed(offtake_call_configure(data, length));
}
EXPORT("offtake_on_schema") uint64_t offtake_on_schema(const uint8_t *data, uint32_t length) {
    return packed(offtake_call_on_schema(data, length));
}
EXPORT("offtake_process") uint64_t offtake_process(const uint8_t *data, uint32_t length) {
    return packed(offtake_call_process(data, length));
}
#else
// Natively, where plugins are tested without a gateway, lines and numbers go nowhere.
void offtake_log(uint32_t level, offtake_text line) { (void)level, (void)line; }
uint32_t offtake_counter(offtake_text name) { return (void)name, 0; }
uint32_t offtake_histogram(offtake_text name) { return (void)name, 0; }
void offtake_count(uint32_t counter, uint32_t delta) { (void)counter, (void)delta; }
void offtake_observe(uint32_t histogram, double value) { (void)histogram, (void)value; }
#endif
