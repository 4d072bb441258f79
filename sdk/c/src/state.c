// Kept state: keys and values, framed as sdk/abi.md says.
#include "internal.h"

#ifdef __wasm__
#define IMPORT(NAME) __attribute__((import_module("offtake"), import_name(NAME)))
IMPORT("state_get_many") uint32_t offtake_import_get_many(const uint8_t *data, uint32_t length);
IMPORT("state_read") void offtake_import_read(uint8_t *to);
IMPORT("state_put_many")
void offtake_import_put_many(const uint8_t *data, uint32_t length, int64_t seconds);
IMPORT("state_delete_many") void offtake_import_delete_many(const uint8_t *data, uint32_t length);

static offtake_buffer frame_of(const offtake_text *keys, uint32_t count) {
    offtake_buffer frame = {0};
    offtake_append_u32(&frame, count);
    for (uint32_t at = 0; at < count; at++)
        offtake_append_text(&frame, keys[at]);
    return frame;
}

static uint32_t take_u32(const uint8_t **from) {
    uint32_t value;
    __builtin_memcpy(&value, *from, 4);
    *from += 4;
    return value;
}

const offtake_stored *offtake_state_get_many(const offtake_text *keys, uint32_t count) {
    offtake_buffer frame = frame_of(keys, count);
    uint8_t *answer = offtake_allocate(offtake_import_get_many(frame.data, frame.length));
    offtake_import_read(answer);
    offtake_stored *stored = offtake_allocate(count * sizeof(offtake_stored));
    const uint8_t *from = answer;
    for (uint32_t at = 0; at < count; at++) {
        stored[at].exists = take_u32(&from) == 1;
        if (!stored[at].exists) continue;
        uint32_t length = take_u32(&from);
        stored[at].value = (offtake_text){(const char *)from, length};
        from += (length + 3) & ~3u;
    }
    return stored;
}

void offtake_state_put_many(const offtake_entry *entries, uint32_t count, int64_t seconds) {
    offtake_buffer frame = {0};
    offtake_append_u32(&frame, count);
    for (uint32_t at = 0; at < count; at++) {
        offtake_append_text(&frame, entries[at].key);
        offtake_append_text(&frame, entries[at].value);
    }
    offtake_import_put_many(frame.data, frame.length, seconds);
}

void offtake_state_delete_many(const offtake_text *keys, uint32_t count) {
    offtake_buffer frame = frame_of(keys, count);
    offtake_import_delete_many(frame.data, frame.length);
}
#else
// Natively, where plugins are tested without a gateway, nothing is kept.
const offtake_stored *offtake_state_get_many(const offtake_text *keys, uint32_t count) {
    (void)keys;
    return offtake_allocate((uint32_t)(count * sizeof(offtake_stored)));
}
void offtake_state_put_many(const offtake_entry *entries, uint32_t count, int64_t seconds) {
    (void)entries, (void)count, (void)seconds;
}
void offtake_state_delete_many(const offtake_text *keys, uint32_t count) {
    (void)keys, (void)count;
}
#endif
