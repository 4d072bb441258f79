// The counter in C; ../README.md says what it does.
#include "offtake.h"

// Bytes of the longest value that is counted: a key of the state may have 4096.
#define LONGEST_KEY 4000
#define ROWS 256

static offtake_text by, into;
static int64_t last, seconds;

offtake_failure offtake_plugin_configure(offtake_config *config, offtake_info *info) {
    info->name = "counter";
    info->version = "1.0.0";
    info->stateful = true;
    by = offtake_config_text(config, "by");
    into = offtake_config_text(config, "into");
    last = offtake_config_int64_or(config, "last", 0);
    seconds = offtake_config_int64_or(config, "seconds", OFFTAKE_NO_END);
    return offtake_config_finish(config);
}

offtake_failure offtake_plugin_on_schema(offtake_schema *schema, offtake_interest *interest) {
    int32_t ordinal = offtake_ordinal(schema, by);
    if (ordinal < 0) return OFFTAKE_OK;
    if (schema->columns[ordinal].kind != OFFTAKE_TEXT) {
        return offtake_refuse_column(schema, (uint32_t)ordinal, "texts are counted only");
    }
    offtake_want_column(interest, (uint32_t)ordinal);
    offtake_add_column(interest, (offtake_column_info){.name = into,
                                                       .kind = OFFTAKE_INT64,
                                                       .logical = offtake_of("int8"),
                                                       .native = offtake_of(""),
                                                       .nullable = true});
    return OFFTAKE_OK;
}

// The values of a batch, each once, and which of them a row has (-1: none).
static offtake_text keys[ROWS];
static int32_t key_of[ROWS];
static uint32_t key_count;

static void gather(const offtake_batch *batch, offtake_verdict *verdict,
                   const offtake_column *column) {
    key_count = 0;
    for (uint32_t row = 0; row < batch->rows; row++) {
        key_of[row] = -1;
        if (offtake_presence_at(column, row) != OFFTAKE_VALUE) continue;
        offtake_text key = offtake_text_at(column, row);
        if (key.length > LONGEST_KEY) {
            offtake_fail(verdict, row,
                         offtake_refuse(offtake_join(offtake_of("a value of column "), by,
                                                     offtake_of(" is too long to be a key"))));
            continue;
        }
        uint32_t at = 0;
        while (at < key_count && !offtake_equal(keys[at], key))
            at++;
        if (at == key_count) keys[key_count++] = key;
        key_of[row] = (int32_t)at;
    }
}

static void keep(const int64_t *counts) {
    static offtake_entry kept[ROWS];
    static offtake_text forgotten[ROWS];
    uint32_t kept_count = 0, forgotten_count = 0;
    for (uint32_t at = 0; at < key_count; at++) {
        if (counts[at]) {
            kept[kept_count++] = (offtake_entry){keys[at], {(const char *)&counts[at], 8}};
        } else {
            forgotten[forgotten_count++] = keys[at];
        }
    }
    if (kept_count) offtake_state_put_many(kept, kept_count, seconds);
    if (forgotten_count) offtake_state_delete_many(forgotten, forgotten_count);
}

offtake_failure offtake_plugin_process(const offtake_batch *batch, offtake_verdict *verdict) {
    uint32_t ordinal = (uint32_t)offtake_ordinal(batch->schema, by);
    const offtake_column *column = offtake_column_of(batch, OFFTAKE_AFTER, ordinal);
    if (!column) return OFFTAKE_OK;
    gather(batch, verdict, column);
    static int64_t counts[ROWS];
    const offtake_stored *stored = offtake_state_get_many(keys, key_count);
    for (uint32_t at = 0; at < key_count; at++) {
        counts[at] = 0;
        if (stored[at].exists) __builtin_memcpy(&counts[at], stored[at].value.data, 8);
    }
    for (uint32_t row = 0; row < batch->rows; row++) {
        if (key_of[row] < 0) continue;
        int64_t *count = &counts[key_of[row]];
        offtake_set_int64(offtake_patch(verdict, OFFTAKE_AFTER, batch->schema->column_count, row),
                          ++*count);
        if (*count == last) *count = 0;
    }
    keep(counts);
    return OFFTAKE_OK;
}
