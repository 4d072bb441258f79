// The benchmark's plugin in C; ../README.md says what its shapes do.
#include "bench.h"

static const char *const SHAPES[] = {"empty", "mask1", "mask3", "filter", "add", "fan_out", "json"};
static enum { EMPTY, MASK1, MASK3, FILTER, ADD, FAN_OUT, JSON } shape;
static offtake_text masked[3];
static bool both_images;

offtake_failure offtake_plugin_configure(offtake_config *from, offtake_info *info) {
    info->name = "bench";
    info->version = "1.0.0";
    offtake_text asked = offtake_config_text(from, "shape");
    shape = EMPTY;
    while (shape < JSON && !offtake_equal(asked, offtake_of(SHAPES[shape])))
        shape++;
    masked[0] = offtake_config_text_or(from, "column", "email");
    masked[1] = offtake_of("phone");
    masked[2] = offtake_of("name");
    both_images = offtake_config_boolean_or(from, "both_images", false);
    return offtake_config_finish(from);
}

static void want(offtake_schema *schema, offtake_interest *interest, offtake_text name) {
    offtake_want_column(interest, (uint32_t)offtake_ordinal(schema, name));
}

static offtake_column_info column(const char *name, offtake_kind kind, const char *logical) {
    return (offtake_column_info){.name = offtake_of(name),
                                 .kind = kind,
                                 .logical = offtake_of(logical),
                                 .native = offtake_of(""),
                                 .nullable = true};
}

offtake_failure offtake_plugin_on_schema(offtake_schema *schema, offtake_interest *interest) {
    if (both_images) offtake_want(interest, OFFTAKE_WANT_BEFORE_IMAGE);
    uint32_t columns = shape == MASK1 ? 1 : shape == MASK3 ? 3 : 0;
    for (uint32_t at = 0; at < columns; at++)
        want(schema, interest, masked[at]);
    if (shape == FILTER) want(schema, interest, offtake_of("amount"));
    if (shape == JSON) want(schema, interest, offtake_of("record"));
    if (shape == FAN_OUT) want(schema, interest, offtake_of("id"));
    if (shape == EMPTY || shape == ADD || shape == FAN_OUT) {
        want(schema, interest, offtake_of("email"));
    }
    if (shape == ADD) offtake_add_column(interest, column("domain", OFFTAKE_TEXT, "text"));
    if (shape == FAN_OUT) {
        const offtake_column_info of[] = {column("id", OFFTAKE_INT64, "int8"),
                                          column("email", OFFTAKE_TEXT, "text")};
        const offtake_output output = {
            .name = offtake_of("contacts"), .columns = of, .column_count = 2};
        offtake_add_output(interest, &output);
    }
    return OFFTAKE_OK;
}

void cover(offtake_cell *cell, offtake_text text) {
    uint32_t first = text.length ? offtake_character_length(text.data[0]) : 0, covered = 0;
    for (uint32_t at = first; at < text.length; covered++)
        at += offtake_character_length(text.data[at]);
    offtake_write(cell, (offtake_text){text.data, first});
    offtake_write_repeated(cell, '*', covered);
}

static void mask(const offtake_batch *batch, offtake_verdict *verdict, offtake_text name) {
    uint32_t ordinal = (uint32_t)offtake_ordinal(batch->schema, name);
    for (offtake_image image = OFFTAKE_BEFORE; image <= OFFTAKE_AFTER; image++) {
        const offtake_column *from = offtake_column_of(batch, image, ordinal);
        for (uint32_t row = 0; from && row < batch->rows; row++) {
            if (offtake_presence_at(from, row) != OFFTAKE_VALUE) continue;
            cover(offtake_patch(verdict, image, ordinal, row), offtake_text_at(from, row));
        }
    }
}

// The column that was wanted at this place.
static const offtake_column *wanted(const offtake_batch *batch, uint32_t at) {
    return &batch->after[at];
}

static void filter(const offtake_batch *batch, offtake_verdict *verdict) {
    const offtake_column *amounts = wanted(batch, 0);
    for (uint32_t row = 0; row < batch->rows; row++) {
        if (offtake_presence_at(amounts, row) == OFFTAKE_VALUE &&
            offtake_int64_at(amounts, row) < 1000) {
            offtake_drop(verdict, row);
        }
    }
}

static void add(const offtake_batch *batch, offtake_verdict *verdict) {
    uint32_t domain = batch->schema->column_count;
    for (uint32_t row = 0; row < batch->rows; row++) {
        offtake_text text = offtake_text_at(wanted(batch, 0), row);
        uint32_t at = 0;
        while (at < text.length && text.data[at] != '@')
            at++;
        offtake_text found = {0};
        if (at < text.length) found = (offtake_text){text.data + at + 1, text.length - at - 1};
        offtake_set_text(offtake_patch(verdict, OFFTAKE_AFTER, domain, row), found);
    }
}

static void fan_out(const offtake_batch *batch, offtake_verdict *verdict) {
    for (uint32_t row = 0; row < batch->rows; row++) {
        offtake_emission *emission = offtake_emit(verdict, 0, row, 'c');
        for (uint32_t at = 0; at < 2; at++) {
            offtake_set_from(offtake_emitted(emission, OFFTAKE_AFTER, at), wanted(batch, at), row);
        }
    }
}

static offtake_failure json(const offtake_batch *batch, offtake_verdict *verdict) {
    const offtake_column *records = wanted(batch, 0);
    for (uint32_t row = 0; row < batch->rows; row++) {
        offtake_cell *cell = offtake_patch(verdict, OFFTAKE_AFTER, records->ordinal, row);
        if (!rewrite(cell, offtake_text_at(records, row))) {
            return offtake_refuse(offtake_of("the record is no JSON"));
        }
    }
    return OFFTAKE_OK;
}

offtake_failure offtake_plugin_process(const offtake_batch *batch, offtake_verdict *verdict) {
    switch (shape) {
    case EMPTY: break;
    case MASK1: mask(batch, verdict, masked[0]); break;
    case MASK3:
        for (uint32_t at = 0; at < 3; at++)
            mask(batch, verdict, masked[at]);
        break;
    case FILTER: filter(batch, verdict); break;
    case ADD: add(batch, verdict); break;
    case FAN_OUT: fan_out(batch, verdict); break;
    case JSON: return json(batch, verdict);
    }
    return OFFTAKE_OK;
}
