// The conformance plugin in C; ../README.md says what it does. Here: configuration, interests, and
// the actions on values.
#include "conformance.h"

settings config;

static const char *const ACTIONS[] = {"echo",    "mask",  "drop", "add",
                                      "fan-out", "route", "fail", "op"};

static offtake_text optional(offtake_config *from, const char *name) {
    return offtake_config_has(from, name) ? offtake_config_text(from, name) : (offtake_text){0};
}

offtake_failure offtake_plugin_configure(offtake_config *from, offtake_info *info) {
    info->name = "conformance";
    info->version = "1.0.0";
    offtake_text action = offtake_config_text(from, "action");
    uint32_t at = 0;
    while (at < 8 && !offtake_equal(action, offtake_of(ACTIONS[at])))
        at++;
    if (action.data && at == 8) {
        return offtake_refuse(offtake_of(
            "config: `action` is none of echo, mask, drop, add, fan-out, route, fail, op"));
    }
    config.action = (enum action)at;
    if (config.action == MASK) {
        config.column = offtake_config_text(from, "column");
        int64_t keep = offtake_config_int64_or(from, "keep_first", 0);
        if (keep < 0 || keep > UINT32_MAX) {
            return offtake_refuse(offtake_of("config: `keep_first` is no count of characters"));
        }
        config.keep_first = (uint32_t)keep;
        info->protects = true;
        info->required_columns = &config.column;
        info->required_count = 1;
    } else if (config.action == DROP) {
        config.column = offtake_config_text_or(from, "column", "id");
    } else if (config.action == ROUTE) {
        config.stream = optional(from, "stream");
        config.partition = optional(from, "partition");
        config.header = optional(from, "header");
    } else if (config.action == FAIL) {
        config.whole = offtake_config_boolean_or(from, "whole", false);
    }
    return offtake_config_finish(from);
}

static offtake_column_info column(const char *name, offtake_kind kind, const char *logical,
                                  bool nullable) {
    return (offtake_column_info){.name = offtake_of(name),
                                 .kind = kind,
                                 .logical = offtake_of(logical),
                                 .native = offtake_of(""),
                                 .nullable = nullable};
}

static void declare_output(offtake_interest *interest) {
    const offtake_column_info columns[] = {
        column("operation", OFFTAKE_TEXT, "text", false),
        column("position", OFFTAKE_BYTES, "bytes", true),
        column("committed", OFFTAKE_INT64, "int8", true),
        column("order", OFFTAKE_UINT64, "uint8", true),
        column("created", OFFTAKE_BOOLEAN, "bool", true),
        column("half", OFFTAKE_FLOAT64, "float8", true),
    };
    const offtake_output output = {
        .name = offtake_of("seen"), .columns = columns, .column_count = 6};
    offtake_add_output(interest, &output);
}

offtake_failure offtake_plugin_on_schema(offtake_schema *schema, offtake_interest *interest) {
    if (config.action == MASK) {
        int32_t ordinal = offtake_ordinal(schema, config.column);
        if (ordinal < 0) return OFFTAKE_OK;
        if (schema->columns[ordinal].kind != OFFTAKE_TEXT) {
            return offtake_refuse_column(schema, (uint32_t)ordinal,
                                         "mask works on text columns only");
        }
    }
    offtake_want_all_columns(interest);
    offtake_want(interest, OFFTAKE_WANT_BEFORE_IMAGE | OFFTAKE_WANT_HEADERS |
                               OFFTAKE_WANT_POSITIONS | OFFTAKE_WANT_COMMIT_TIMES |
                               OFFTAKE_WANT_TRANSACTIONS);
    if (config.action == ADD && !schema->is_message) {
        offtake_add_column(interest, column("seen", OFFTAKE_TEXT, "text", true));
    }
    if (config.action == FAN_OUT) declare_output(interest);
    return OFFTAKE_OK;
}

bool image_of(const offtake_batch *batch, uint32_t row, offtake_image *image) {
    char operation = batch->operations[row];
    *image = operation == 'd' ? OFFTAKE_BEFORE : OFFTAKE_AFTER;
    return operation != 't';
}

const offtake_column *value_at(const offtake_batch *batch, uint32_t row, offtake_text name) {
    offtake_image image;
    int32_t ordinal = offtake_ordinal(batch->schema, name);
    if (ordinal < 0 || !image_of(batch, row, &image)) return NULL;
    const offtake_column *found = offtake_column_of(batch, image, (uint32_t)ordinal);
    return found && offtake_presence_at(found, row) == OFFTAKE_VALUE ? found : NULL;
}

static void echo(const offtake_batch *batch, offtake_verdict *verdict) {
    for (offtake_image image = OFFTAKE_BEFORE; image <= OFFTAKE_AFTER; image++) {
        for (uint32_t ordinal = 0; ordinal < batch->schema->column_count; ordinal++) {
            const offtake_column *from = offtake_column_of(batch, image, ordinal);
            for (uint32_t row = 0; from && row < batch->rows; row++) {
                offtake_set_from(offtake_patch(verdict, image, ordinal, row), from, row);
            }
        }
    }
}

static void cover(offtake_cell *cell, offtake_text text) {
    uint32_t kept = 0, characters = 0;
    for (uint32_t at = 0; at < text.length; characters++) {
        if (characters == config.keep_first) kept = at;
        at += offtake_character_length(text.data[at]);
    }
    uint32_t readable = characters > config.keep_first ? config.keep_first : 0;
    offtake_write(cell, (offtake_text){text.data, kept});
    offtake_write_repeated(cell, '*', characters - readable);
}

static void mask(const offtake_batch *batch, offtake_verdict *verdict) {
    uint32_t ordinal = (uint32_t)offtake_ordinal(batch->schema, config.column);
    for (offtake_image image = OFFTAKE_BEFORE; image <= OFFTAKE_AFTER; image++) {
        const offtake_column *from = offtake_column_of(batch, image, ordinal);
        for (uint32_t row = 0; from && row < batch->rows; row++) {
            if (offtake_presence_at(from, row) != OFFTAKE_VALUE) continue;
            cover(offtake_patch(verdict, image, ordinal, row), offtake_text_at(from, row));
        }
    }
}

static void drop(const offtake_batch *batch, offtake_verdict *verdict) {
    for (uint32_t row = 0; row < batch->rows; row++) {
        const offtake_column *from = value_at(batch, row, config.column);
        if (from && from->kind == OFFTAKE_INT64 && (offtake_int64_at(from, row) & 1)) {
            offtake_drop(verdict, row);
        }
    }
}

static void make_deletes(const offtake_batch *batch, offtake_verdict *verdict) {
    for (uint32_t row = 0; row < batch->rows; row++) {
        if (batch->operations[row] == 'u') offtake_set_operation(verdict, row, 'd');
    }
}

offtake_failure offtake_plugin_process(const offtake_batch *batch, offtake_verdict *verdict) {
    switch (config.action) {
    case ECHO: echo(batch, verdict); break;
    case MASK: mask(batch, verdict); break;
    case DROP: drop(batch, verdict); break;
    case ADD: add(batch, verdict); break;
    case FAN_OUT: fan_out(batch, verdict); break;
    case ROUTE: route(batch, verdict); break;
    case FAIL: return fail(batch, verdict);
    case OPERATION: make_deletes(batch, verdict); break;
    }
    return OFFTAKE_OK;
}
