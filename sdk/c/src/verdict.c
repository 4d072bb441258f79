// Gathers what becomes of a batch, column by column, and writes the verdict frame. A mistake of the
// plugin (a value of another kind, rows out of order) fails the call with a message that names it.
#include "internal.h"

// A column that is being set: of the batch's rows, or of an output's emitted rows.
struct offtake_cell {
    offtake_verdict *verdict;
    uint32_t image, ordinal;
    offtake_kind kind;
    uint32_t count;
    offtake_buffer rows;     // u32 each
    offtake_buffer presence; // a byte each, from the first value that is missing on
    offtake_buffer offsets;  // of texts: where each begins
    offtake_buffer data;
};

// Columns being set, by image and ordinal.
typedef struct {
    offtake_cell **cells; // [2][count], made when first used
    const uint8_t *kinds;
    uint32_t count;
    offtake_buffer order; // offtake_cell *, in the order of first use
} cells;

struct offtake_emission {
    offtake_verdict *verdict;
    uint32_t output, rows;
    offtake_buffer parents, operations, streams, partitions, headers;
    uint32_t rows_with_headers, last_header_row, count_at;
    cells cells;
};

struct offtake_verdict {
    const offtake_batch *batch;
    const offtake_told *told;
    cells cells;
    offtake_buffer dropped, operations, failures, routes, partition_rows, partitions;
    offtake_emission **emissions; // one an output, made when first used
    uint32_t route_sections;
    const char *mistake;
};

enum { DROP = 1, SET, OPERATIONS, ROUTE, EMIT, FAILURE };

static void mistaken(offtake_verdict *verdict, const char *mistake) {
    if (!verdict->mistake) verdict->mistake = mistake;
}

// ---- Cells

static offtake_cell *cell_of(offtake_verdict *verdict, cells *of, offtake_image image,
                             uint32_t ordinal) {
    if (ordinal >= of->count) {
        mistaken(verdict, "a column was set that there is not");
        // Somewhere to write to; the call fails.
        offtake_cell *nowhere = offtake_allocate(sizeof(offtake_cell));
        nowhere->verdict = verdict;
        nowhere->kind = OFFTAKE_TEXT;
        return nowhere;
    }
    if (!of->cells) of->cells = offtake_allocate(of->count * 2 * sizeof(offtake_cell *));
    offtake_cell **cell = &of->cells[image * of->count + ordinal];
    if (!*cell) {
        *cell = offtake_allocate(sizeof(offtake_cell));
        (*cell)->verdict = verdict;
        (*cell)->image = image;
        (*cell)->ordinal = ordinal;
        (*cell)->kind = (offtake_kind)of->kinds[ordinal];
        offtake_append(&of->order, cell, sizeof *cell);
    }
    return *cell;
}

// A further value: a zero, an empty text.
static void push(offtake_cell *cell, uint32_t row) {
    offtake_append_u32(&cell->rows, row);
    if (cell->presence.data) *offtake_extend(&cell->presence, 1) = OFFTAKE_VALUE;
    if (cell->kind >= OFFTAKE_TEXT) {
        offtake_append_u32(&cell->offsets, cell->data.length);
    } else if (cell->kind == OFFTAKE_BOOLEAN) {
        *offtake_extend(&cell->data, 1) = 0;
    } else {
        __builtin_memset(offtake_extend(&cell->data, 8), 0, 8);
    }
    cell->count++;
}

static void mark(offtake_cell *cell, offtake_presence presence) {
    if (!cell->presence.data) {
        __builtin_memset(offtake_extend(&cell->presence, cell->count), 0, cell->count);
    }
    cell->presence.data[cell->count - 1] = (uint8_t)presence;
}

static uint32_t last_row(const offtake_cell *cell) {
    return ((const uint32_t *)cell->rows.data)[cell->count - 1];
}

offtake_cell *offtake_patch(offtake_verdict *verdict, offtake_image image, uint32_t ordinal,
                            uint32_t row) {
    offtake_cell *cell = cell_of(verdict, &verdict->cells, image, ordinal);
    if (cell->count && last_row(cell) >= row) {
        mistaken(verdict, "a column's rows were set out of order, or one twice");
    }
    push(cell, row);
    return cell;
}

static bool is_kind(offtake_cell *cell, offtake_kind kind) {
    if (cell->kind == kind && cell->count) return true;
    mistaken(cell->verdict, "a column was set to a value of another kind");
    return false;
}

static void set_fixed(offtake_cell *cell, offtake_kind kind, const void *value, uint32_t size) {
    if (is_kind(cell, kind))
        __builtin_memcpy(cell->data.data + cell->data.length - size, value, size);
}

void offtake_set_boolean(offtake_cell *cell, bool value) {
    uint8_t byte = value;
    set_fixed(cell, OFFTAKE_BOOLEAN, &byte, 1);
}
void offtake_set_int64(offtake_cell *cell, int64_t value) {
    set_fixed(cell, OFFTAKE_INT64, &value, 8);
}
void offtake_set_uint64(offtake_cell *cell, uint64_t value) {
    set_fixed(cell, OFFTAKE_UINT64, &value, 8);
}
void offtake_set_float64(offtake_cell *cell, double value) {
    set_fixed(cell, OFFTAKE_FLOAT64, &value, 8);
}

static void set_bytes(offtake_cell *cell, offtake_kind kind, offtake_text value) {
    if (!is_kind(cell, kind)) return;
    cell->data.length = ((const uint32_t *)cell->offsets.data)[cell->count - 1];
    offtake_append(&cell->data, value.data, value.length);
}

void offtake_set_text(offtake_cell *cell, offtake_text value) {
    set_bytes(cell, OFFTAKE_TEXT, value);
}
void offtake_set_bytes(offtake_cell *cell, offtake_text value) {
    set_bytes(cell, OFFTAKE_BYTES, value);
}
void offtake_set_missing(offtake_cell *cell, offtake_presence presence) { mark(cell, presence); }

void offtake_set_from(offtake_cell *cell, const offtake_column *column, uint32_t row) {
    offtake_presence presence = offtake_presence_at(column, row);
    if (presence != OFFTAKE_VALUE) {
        mark(cell, presence);
    } else if (column->kind >= OFFTAKE_TEXT) {
        set_bytes(cell, column->kind, offtake_text_at(column, row));
    } else {
        uint32_t size = column->kind == OFFTAKE_BOOLEAN ? 1 : 8;
        set_fixed(cell, column->kind, (const uint8_t *)column->values + row * size, size);
    }
}

static bool is_text(offtake_cell *cell) {
    return is_kind(cell, cell->kind == OFFTAKE_BYTES ? OFFTAKE_BYTES : OFFTAKE_TEXT);
}

void offtake_write(offtake_cell *cell, offtake_text piece) {
    if (is_text(cell)) offtake_append(&cell->data, piece.data, piece.length);
}

void offtake_write_repeated(offtake_cell *cell, char character, uint32_t times) {
    if (is_text(cell) && times)
        __builtin_memset(offtake_extend(&cell->data, times), character, times);
}

void offtake_write_uint64(offtake_cell *cell, uint64_t number) {
    char digits[20];
    offtake_write(cell, offtake_digits(digits, number));
}

void offtake_write_int64(offtake_cell *cell, int64_t number) {
    if (number < 0) offtake_write(cell, offtake_of("-"));
    offtake_write_uint64(cell, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

static void write_column(offtake_buffer *out, offtake_cell *cell) {
    offtake_append_u32(out, cell->ordinal);
    uint8_t head[4] = {(uint8_t)cell->kind, cell->presence.data != NULL, 0, 0};
    offtake_append(out, head, 4);
    offtake_append(out, cell->presence.data, cell->presence.length);
    offtake_pad(out, 8);
    if (cell->kind >= OFFTAKE_TEXT) {
        offtake_append(out, cell->offsets.data, cell->offsets.length);
        offtake_append_u32(out, cell->data.length);
    }
    offtake_append(out, cell->data.data, cell->data.length);
    offtake_pad(out, 8);
}

// ---- Rows as a whole, and where they go

void offtake_drop(offtake_verdict *verdict, uint32_t row) {
    offtake_append_u32(&verdict->dropped, row);
}

void offtake_set_operation(offtake_verdict *verdict, uint32_t row, char operation) {
    offtake_append_u32(&verdict->operations, row);
    offtake_append_u32(&verdict->operations, (uint8_t)operation);
}

void offtake_fail(offtake_verdict *verdict, uint32_t row, offtake_failure failure) {
    offtake_append_u32(&verdict->failures, row);
    offtake_append_u32(&verdict->failures, failure.permanent);
    offtake_append_text(&verdict->failures, failure.message);
}

static uint32_t begin_section(offtake_buffer *out, uint32_t kind) {
    offtake_append_u32(out, kind);
    offtake_append_u32(out, 0);
    return out->length;
}

static void end_section(offtake_buffer *out, uint32_t begin) {
    uint32_t length = out->length - begin;
    __builtin_memcpy(out->data + begin - 4, &length, 4);
    offtake_pad(out, 8);
}

// A route of one row: a stream, or a header that is added or removed.
static void route(offtake_verdict *verdict, uint32_t row, const offtake_text *stream,
                  const offtake_text *name, const offtake_text *value) {
    offtake_buffer *out = &verdict->routes;
    uint32_t begin = begin_section(out, ROUTE);
    offtake_append_u32(out, 1);
    offtake_append_u32(out, row);
    offtake_append_u32(out, stream != NULL);
    if (stream) offtake_append_text(out, *stream);
    offtake_append_u32(out, 0); // partitions
    offtake_append_u32(out, name && value);
    if (name && value) {
        offtake_append_text(out, *name);
        offtake_append_text(out, *value);
    }
    offtake_append_u32(out, name && !value);
    if (name && !value) offtake_append_text(out, *name);
    end_section(out, begin);
    verdict->route_sections++;
}

void offtake_set_stream(offtake_verdict *verdict, uint32_t row, offtake_text stream) {
    route(verdict, row, &stream, NULL, NULL);
}

void offtake_add_header(offtake_verdict *verdict, uint32_t row, offtake_text name,
                        offtake_text value) {
    route(verdict, row, NULL, &name, &value);
}

void offtake_remove_header(offtake_verdict *verdict, uint32_t row, offtake_text name) {
    route(verdict, row, NULL, &name, NULL);
}

void offtake_set_partition(offtake_verdict *verdict, uint32_t row, uint32_t partition) {
    offtake_append_u32(&verdict->partition_rows, row);
    offtake_append_u32(&verdict->partitions, partition);
}

// ---- Emitted rows

offtake_emission *offtake_emit(offtake_verdict *verdict, uint32_t output, uint32_t parent,
                               char operation) {
    const offtake_told *told = verdict->told;
    bool known = output < told->output_count;
    if (!known) mistaken(verdict, "a row was emitted on an output that was not declared");
    if (!verdict->emissions) {
        verdict->emissions =
            offtake_allocate((told->output_count + 1) * sizeof(offtake_emission *));
    }
    // The last one is of no output: somewhere to write to, while the call fails.
    offtake_emission **emission = &verdict->emissions[known ? output : told->output_count];
    if (!*emission) {
        *emission = offtake_allocate(sizeof(offtake_emission));
        (*emission)->verdict = verdict;
        (*emission)->output = output;
        if (known) {
            (*emission)->cells.kinds = told->outputs[output].kinds;
            (*emission)->cells.count = told->outputs[output].count;
        }
    }
    offtake_append_u32(&(*emission)->parents, parent);
    *offtake_extend(&(*emission)->operations, 1) = (uint8_t)operation;
    (*emission)->rows++;
    return *emission;
}

// Values that were not set, up to `rows` of them.
static void fill(offtake_cell *cell, uint32_t rows) {
    while (cell->count < rows) {
        push(cell, cell->count);
        mark(cell, cell->image == OFFTAKE_BEFORE ? OFFTAKE_ABSENT : OFFTAKE_NULL);
    }
}

offtake_cell *offtake_emitted(offtake_emission *emission, offtake_image image, uint32_t ordinal) {
    offtake_cell *cell = cell_of(emission->verdict, &emission->cells, image, ordinal);
    if (cell->count == emission->rows)
        mistaken(emission->verdict, "an emitted row's column was set twice");
    fill(cell, emission->rows - 1);
    push(cell, emission->rows - 1);
    return cell;
}

static void fill_streams(offtake_emission *emission, uint32_t rows) {
    // An empty text is four zero bytes.
    uint32_t *count = (uint32_t *)emission->streams.data;
    while (*count < rows) {
        offtake_append_text(&emission->streams, (offtake_text){0});
        count = (uint32_t *)emission->streams.data;
        ++*count;
    }
}

void offtake_emit_stream(offtake_emission *emission, offtake_text stream) {
    if (!emission->streams.data) offtake_append_u32(&emission->streams, 0);
    fill_streams(emission, emission->rows - 1);
    offtake_append_text(&emission->streams, stream);
    ++*(uint32_t *)emission->streams.data;
}

void offtake_emit_partition(offtake_emission *emission, uint32_t partition) {
    offtake_append_u32(&emission->partitions, partition);
}

void offtake_emit_header(offtake_emission *emission, offtake_text name, offtake_text value) {
    offtake_buffer *out = &emission->headers;
    if (!emission->rows_with_headers || emission->last_header_row != emission->rows - 1) {
        emission->last_header_row = emission->rows - 1;
        emission->rows_with_headers++;
        offtake_append_u32(out, emission->last_header_row);
        emission->count_at = out->length;
        offtake_append_u32(out, 0);
    }
    ++*(uint32_t *)(out->data + emission->count_at);
    offtake_append_text(out, name);
    offtake_append_text(out, value);
}

static void write_emission(offtake_buffer *out, offtake_emission *emission) {
    uint32_t begin = begin_section(out, EMIT);
    offtake_append_u32(out, emission->output);
    offtake_append_u32(out, emission->rows);
    offtake_append(out, emission->parents.data, emission->parents.length);
    offtake_append(out, emission->operations.data, emission->rows);
    offtake_pad(out, 4);
    if (emission->streams.data) {
        fill_streams(emission, emission->rows);
        offtake_append(out, emission->streams.data, emission->streams.length);
    } else {
        offtake_append_u32(out, 0);
    }
    uint32_t partitions = emission->partitions.length / 4;
    if (partitions && partitions != emission->rows) {
        mistaken(emission->verdict,
                 "some emitted rows of an output were given a partition, others not");
    }
    offtake_append_u32(out, partitions);
    offtake_append(out, emission->partitions.data, emission->partitions.length);
    offtake_append_u32(out, emission->rows_with_headers);
    offtake_append(out, emission->headers.data, emission->headers.length);
    offtake_cell **all = (offtake_cell **)emission->cells.order.data;
    uint32_t count = emission->cells.order.length / sizeof *all, before = 0;
    for (uint32_t at = 0; at < count; at++)
        before += all[at]->image == OFFTAKE_BEFORE;
    offtake_append_u32(out, count - before);
    offtake_append_u32(out, before);
    offtake_pad(out, 8);
    for (int image = OFFTAKE_AFTER; image >= OFFTAKE_BEFORE; image--) {
        for (uint32_t at = 0; at < count; at++) {
            if (all[at]->image != (uint32_t)image) continue;
            fill(all[at], emission->rows);
            write_column(out, all[at]);
        }
    }
    end_section(out, begin);
}

// ---- The frame

offtake_verdict *offtake_begin_verdict(const offtake_batch *batch) {
    offtake_verdict *verdict = offtake_allocate(sizeof(offtake_verdict));
    verdict->batch = batch;
    verdict->told = batch->schema->told;
    verdict->cells.kinds = verdict->told->kinds;
    verdict->cells.count = verdict->told->count;
    return verdict;
}

static void write_list(offtake_buffer *out, uint32_t kind, const offtake_buffer *list,
                       uint32_t *sections) {
    if (!list->length) return;
    uint32_t begin = begin_section(out, kind);
    offtake_append(out, list->data, list->length);
    end_section(out, begin);
    ++*sections;
}

static void write_sets(offtake_buffer *out, offtake_verdict *verdict, uint32_t *sections) {
    offtake_cell **all = (offtake_cell **)verdict->cells.order.data;
    uint32_t count = verdict->cells.order.length / sizeof *all;
    for (uint32_t at = 0; at < count; at++) {
        offtake_cell *cell = all[at];
        uint32_t begin = begin_section(out, SET);
        // Ascending rows, each once: as many as there are means all of them, which is said by none.
        bool every_row = cell->count == verdict->batch->rows;
        offtake_append_u32(out, cell->image);
        offtake_append_u32(out, every_row ? 0 : cell->count);
        if (!every_row) offtake_append(out, cell->rows.data, cell->rows.length);
        offtake_pad(out, 8);
        write_column(out, cell);
        end_section(out, begin);
        ++*sections;
    }
}

static void write_partitions(offtake_buffer *out, offtake_verdict *verdict, uint32_t *sections) {
    if (!verdict->partitions.length) return;
    uint32_t begin = begin_section(out, ROUTE);
    uint32_t count = verdict->partitions.length / 4;
    offtake_append_u32(out, count);
    offtake_append(out, verdict->partition_rows.data, verdict->partition_rows.length);
    offtake_append_u32(out, 0); // no stream
    offtake_append_u32(out, count);
    offtake_append(out, verdict->partitions.data, verdict->partitions.length);
    offtake_append_u32(out, 0);
    offtake_append_u32(out, 0);
    end_section(out, begin);
    ++*sections;
}

offtake_answer offtake_finish_verdict(offtake_verdict *verdict) {
    offtake_buffer out = {0};
    uint32_t sections = verdict->route_sections;
    offtake_append(&out, "OTV1", 4);
    offtake_append_u32(&out, 0);
    write_list(&out, DROP, &verdict->dropped, &sections);
    write_sets(&out, verdict, &sections);
    write_list(&out, OPERATIONS, &verdict->operations, &sections);
    offtake_append(&out, verdict->routes.data, verdict->routes.length);
    write_partitions(&out, verdict, &sections);
    for (uint32_t at = 0; verdict->emissions && at < verdict->told->output_count; at++) {
        if (!verdict->emissions[at]) continue;
        write_emission(&out, verdict->emissions[at]);
        sections++;
    }
    write_list(&out, FAILURE, &verdict->failures, &sections);
    if (verdict->mistake)
        return offtake_failure_frame(offtake_refuse(offtake_of(verdict->mistake)));
    if (!sections) return (offtake_answer){0};
    __builtin_memcpy(out.data + 4, &sections, 4);
    return (offtake_answer){out.data, out.length};
}

offtake_answer offtake_failure_frame(offtake_failure failure) {
    offtake_buffer out = {0};
    offtake_append(&out, "OTF1", 4);
    offtake_append_u32(&out, failure.permanent);
    offtake_append_text(&out, failure.message);
    return (offtake_answer){out.data, out.length};
}

// ---- Row by row

offtake_cell *offtake_put(const offtake_row *row, const char *name) {
    const offtake_told *told = row->verdict->told;
    uint32_t ordinal = 0;
    while (ordinal < told->count && !offtake_equal(told->names[ordinal], offtake_of(name)))
        ordinal++;
    return offtake_patch(row->verdict, row->image, ordinal, row->row);
}
