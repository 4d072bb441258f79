// What the SDK's files share: arenas, growing buffers, and the notes kept of a schema.
#ifndef OFFTAKE_INTERNAL_H
#define OFFTAKE_INTERNAL_H

#include "../offtake.h"

// Empties the arena of the call.
void offtake_begin_call(void);
// Room from the arena of the call, not zeroed, or NULL.
void *offtake_try_allocate(uint32_t size);

// Bytes that grow in the arena of the call.
typedef struct {
    uint8_t *data;
    uint32_t length, capacity;
} offtake_buffer;

// Makes room for `size` more bytes and gives where they go; they count as written.
uint8_t *offtake_extend(offtake_buffer *buffer, uint32_t size);
void offtake_append(offtake_buffer *buffer, const void *data, uint32_t size);
void offtake_append_u32(offtake_buffer *buffer, uint32_t value);
void offtake_append_text(offtake_buffer *buffer, offtake_text text); // length, bytes, padding to 4
void offtake_pad(offtake_buffer *buffer, uint32_t alignment);

// Digits of a number, at the end of 20 bytes.
offtake_text offtake_digits(char digits[20], uint64_t number);

// JSON. Reading: NULL where it is none. Writing: plain text and quoted text.
offtake_json *offtake_parse_json(offtake_text text);
void offtake_json_put(offtake_buffer *out, const char *piece);
void offtake_json_put_text(offtake_buffer *out, offtake_text text);
void offtake_json_put_u32(offtake_buffer *out, uint32_t number);

// What of a schema's answer the verdict needs.
typedef struct offtake_told {
    // Kinds of the columns as patches count them: the input's, retyped, then the added ones.
    uint8_t *kinds;
    offtake_text *names;
    uint32_t count;
    // Index of each input column among the wanted ones, or -1.
    int32_t *places;
    struct {
        uint8_t *kinds;
        uint32_t count;
    } * outputs;
    uint32_t output_count;
    offtake_schema schema;
    struct offtake_told *next;
} offtake_told;

// An answer of the plugin.
typedef struct {
    const uint8_t *data;
    uint32_t length;
} offtake_answer;

offtake_answer offtake_call_configure(const uint8_t *data, uint32_t length);
offtake_answer offtake_call_on_schema(const uint8_t *data, uint32_t length);
offtake_answer offtake_call_process(const uint8_t *data, uint32_t length);

const offtake_schema *offtake_find_schema(uint32_t id);
bool offtake_read_batch(const uint8_t *data, uint32_t length, offtake_batch *batch);
offtake_verdict *offtake_begin_verdict(const offtake_batch *batch);
offtake_answer offtake_finish_verdict(offtake_verdict *verdict);
offtake_answer offtake_failure_frame(offtake_failure failure);

#endif
