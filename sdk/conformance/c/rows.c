// The conformance plugin in C: the actions on rows as a whole.
#include "conformance.h"

// ---- add

static void write_string(offtake_cell *cell, const char *string) {
    offtake_write(cell, offtake_of(string));
}

static void write_hex(offtake_cell *cell, uint64_t number, int digits) {
    for (int at = digits - 1; at >= 0; at--) {
        offtake_write(cell, (offtake_text){&"0123456789abcdef"[number >> (at * 4) & 15], 1});
    }
}

static uint32_t fnv1a(offtake_text text) {
    uint32_t hash = 0x811c9dc5;
    for (uint32_t at = 0; at < text.length; at++)
        hash = (hash ^ (uint8_t)text.data[at]) * 0x01000193;
    return hash;
}

static void write_text(offtake_cell *cell, char letter, offtake_text text) {
    offtake_write(cell, (offtake_text){&letter, 1});
    if (text.length > 64) {
        write_string(cell, "#");
        offtake_write_uint64(cell, text.length);
        write_string(cell, ":");
        write_hex(cell, fnv1a(text), 8);
        return;
    }
    write_string(cell, ":");
    if (letter == 't') offtake_write(cell, text);
    for (uint32_t at = 0; letter == 'b' && at < text.length; at++) {
        write_hex(cell, (uint8_t)text.data[at], 2);
    }
}

static void write_float(offtake_cell *cell, double value) {
    uint64_t bits;
    __builtin_memcpy(&bits, &value, 8);
    write_string(cell, "f:");
    if (value != value) {
        write_string(cell, "nan");
    } else {
        write_hex(cell, bits, 16);
    }
}

static void write_value(offtake_cell *cell, const offtake_column *column, uint32_t row) {
    static const char *const MISSING[] = {"", "null", "unchanged", "absent"};
    offtake_presence presence = offtake_presence_at(column, row);
    if (presence != OFFTAKE_VALUE) {
        write_string(cell, MISSING[presence]);
        return;
    }
    switch (column->kind) {
    case OFFTAKE_BOOLEAN:
        write_string(cell, offtake_boolean_at(column, row) ? "true" : "false");
        break;
    case OFFTAKE_INT64:
        write_string(cell, "i:");
        offtake_write_int64(cell, offtake_int64_at(column, row));
        break;
    case OFFTAKE_UINT64:
        write_string(cell, "u:");
        offtake_write_uint64(cell, offtake_uint64_at(column, row));
        break;
    case OFFTAKE_FLOAT64: write_float(cell, offtake_float64_at(column, row)); break;
    case OFFTAKE_TEXT: write_text(cell, 't', offtake_text_at(column, row)); break;
    case OFFTAKE_BYTES: write_text(cell, 'b', offtake_text_at(column, row)); break;
    }
}

static void write_headers(offtake_cell *cell, const offtake_batch *batch, uint32_t row) {
    uint32_t count = 0;
    offtake_header header = {0};
    while (offtake_next_header(batch, &header))
        count += header.row == row;
    write_string(cell, " headers=");
    offtake_write_uint64(cell, count);
    header = (offtake_header){0};
    while (offtake_next_header(batch, &header)) {
        if (header.row != row) continue;
        write_string(cell, " ");
        offtake_write(cell, header.name);
        write_string(cell, "=");
        write_text(cell, 'b', header.value);
    }
}

static void write_metadata(offtake_cell *cell, const offtake_batch *batch, uint32_t row) {
    offtake_write(cell, (offtake_text){&batch->operations[row], 1});
    write_string(cell, " position=");
    offtake_write(cell, offtake_packed_at(&batch->positions, row));
    write_string(cell, " snapshot=");
    offtake_write_uint64(cell, batch->snapshot[row]);
    write_string(cell, " committed=");
    offtake_write_int64(cell, batch->commit_times[row]);
    write_string(cell, " transaction=");
    offtake_write(cell, offtake_packed_at(&batch->transactions, row));
    write_string(cell, " order=");
    offtake_write_uint64(cell, batch->transaction_order[row]);
    write_headers(cell, batch, row);
}

static void write_image(offtake_cell *cell, const offtake_batch *batch, uint32_t row,
                        offtake_image image) {
    for (uint32_t ordinal = 0; ordinal < batch->schema->column_count; ordinal++) {
        const offtake_column *column = offtake_column_of(batch, image, ordinal);
        if (!column) continue;
        write_string(cell, image == OFFTAKE_AFTER ? " after." : " before.");
        offtake_write(cell, batch->schema->columns[ordinal].name);
        write_string(cell, "=");
        write_value(cell, column, row);
    }
}

void add(const offtake_batch *batch, offtake_verdict *verdict) {
    if (batch->schema->is_message) return;
    for (uint32_t row = 0; row < batch->rows; row++) {
        offtake_image image;
        if (!image_of(batch, row, &image)) continue;
        offtake_cell *cell = offtake_patch(verdict, image, batch->schema->column_count, row);
        write_metadata(cell, batch, row);
        write_image(cell, batch, row, OFFTAKE_AFTER);
        write_image(cell, batch, row, OFFTAKE_BEFORE);
    }
}

// ---- fan-out, route, fail

enum { LETTER, POSITION, COMMITTED, ORDER, CREATED, HALF };

void fan_out(const offtake_batch *batch, offtake_verdict *verdict) {
    for (uint32_t row = 0; row < batch->rows; row++) {
        bool deleted = batch->operations[row] == 'd';
        offtake_text letter = {&batch->operations[row], 1};
        uint64_t order = batch->transaction_order[row];
        offtake_image image = deleted ? OFFTAKE_BEFORE : OFFTAKE_AFTER;
        offtake_emission *emission = offtake_emit(verdict, 0, row, deleted ? 'd' : 'c');
        offtake_set_text(offtake_emitted(emission, image, LETTER), letter);
        if (*letter.data != 'u') {
            offtake_set_bytes(offtake_emitted(emission, image, POSITION),
                              offtake_packed_at(&batch->positions, row));
        }
        offtake_set_int64(offtake_emitted(emission, image, COMMITTED), batch->commit_times[row]);
        offtake_set_uint64(offtake_emitted(emission, image, ORDER), order);
        offtake_set_boolean(offtake_emitted(emission, image, CREATED), *letter.data == 'c');
        offtake_set_float64(offtake_emitted(emission, image, HALF), (double)order / 2);
        if (deleted) offtake_emit_stream(emission, offtake_of("seen.deleted"));
        offtake_emit_partition(emission, (uint32_t)(order % 3));
        offtake_emit_header(emission, offtake_of("operation"), letter);
    }
}

// Whether a stream may be called so.
static bool names_a_stream(offtake_text text) {
    if (text.length > 249) return false;
    bool dots = true;
    for (uint32_t at = 0; at < text.length; at++) {
        char one = text.data[at], lower = one | 0x20;
        bool letter = lower >= 'a' && lower <= 'z', digit = one >= '0' && one <= '9';
        dots = dots && one == '.';
        if (!letter && !digit && one != '.' && one != '_' && one != '-') return false;
    }
    return !dots;
}

void route(const offtake_batch *batch, offtake_verdict *verdict) {
    for (uint32_t row = 0; row < batch->rows; row++) {
        const offtake_column *from = value_at(batch, row, config.stream);
        if (from && from->kind == OFFTAKE_TEXT && names_a_stream(offtake_text_at(from, row))) {
            offtake_set_stream(verdict, row, offtake_text_at(from, row));
        }
        from = value_at(batch, row, config.partition);
        if (from && from->kind == OFFTAKE_INT64) {
            offtake_set_partition(verdict, row, (uint32_t)offtake_int64_at(from, row));
        }
        from = value_at(batch, row, config.header);
        if (from && (from->kind == OFFTAKE_TEXT || from->kind == OFFTAKE_BYTES)) {
            offtake_add_header(verdict, row, config.header, offtake_text_at(from, row));
        }
    }
    offtake_header header = {0};
    while (offtake_next_header(batch, &header)) {
        if (!offtake_equal(header.name, offtake_of("remove-me"))) continue;
        offtake_remove_header(verdict, header.row, header.name);
    }
}

// The failure that a row asks for, if it does.
static offtake_failure asked_for(const offtake_batch *batch, uint32_t row) {
    for (int image = OFFTAKE_AFTER; image >= OFFTAKE_BEFORE; image--) {
        for (uint32_t ordinal = 0; ordinal < batch->schema->column_count; ordinal++) {
            const offtake_column *column = offtake_column_of(batch, (offtake_image)image, ordinal);
            if (!column || column->kind != OFFTAKE_TEXT) continue;
            if (offtake_presence_at(column, row) != OFFTAKE_VALUE) continue;
            offtake_text text = offtake_text_at(column, row);
            bool permanent = offtake_equal(text, offtake_of("fail"));
            if (!permanent && !offtake_equal(text, offtake_of("retry"))) continue;
            offtake_text message =
                offtake_join(offtake_of("column "), batch->schema->columns[ordinal].name,
                             offtake_of(" asks for it"));
            return permanent ? offtake_refuse(message) : offtake_retry(message);
        }
    }
    return OFFTAKE_OK;
}

offtake_failure fail(const offtake_batch *batch, offtake_verdict *verdict) {
    for (uint32_t row = 0; row < batch->rows; row++) {
        offtake_failure failure = asked_for(batch, row);
        if (!failure.failed) continue;
        if (config.whole) return failure;
        offtake_fail(verdict, row, failure);
    }
    return OFFTAKE_OK;
}
