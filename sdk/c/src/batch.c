// Reads a batch frame in place: pointers into what the gateway wrote, no copies. The frame is the
// gateway's, so well formed; lengths are checked all the same, since that costs nothing a row.
#include "internal.h"

typedef struct {
    const uint8_t *begin, *at, *end;
    bool failed;
} reader;

static const void *take(reader *in, uint64_t size) {
    const uint8_t *at = in->at;
    if (in->failed || (uint64_t)(in->end - at) < size) {
        in->failed = true;
        return NULL;
    }
    in->at += size;
    return at;
}

static uint32_t take_u32(reader *in) {
    uint32_t value = 0;
    const void *at = take(in, 4);
    if (at) __builtin_memcpy(&value, at, 4);
    return value;
}

static void pad(reader *in) {
    uint32_t missing = -(uint32_t)(in->at - in->begin) & 7;
    take(in, missing);
}

static offtake_packed take_packed(reader *in, uint32_t rows) {
    const uint32_t *offsets = take(in, ((uint64_t)rows + 1) * 4);
    const char *data = take(in, offsets ? offsets[rows] : 0);
    return (offtake_packed){offsets, data};
}

static void take_column(reader *in, uint32_t rows, offtake_column *column) {
    column->ordinal = take_u32(in);
    const uint8_t *head = take(in, 4);
    if (!head || head[0] > OFFTAKE_BYTES) {
        in->failed = true;
        return;
    }
    column->kind = (offtake_kind)head[0];
    column->presence = head[1] ? take(in, rows) : NULL;
    pad(in);
    if (column->kind >= OFFTAKE_TEXT) {
        offtake_packed packed = take_packed(in, rows);
        column->offsets = packed.offsets;
        column->values = packed.data;
    } else {
        column->offsets = NULL;
        column->values = take(in, column->kind == OFFTAKE_BOOLEAN ? rows : (uint64_t)rows * 8);
    }
    pad(in);
}

enum { POSITIONS = 1, COMMIT_TIMES = 2, TRANSACTIONS = 4, HEADERS = 8 };

static void take_metadata(reader *in, uint32_t which, offtake_batch *batch) {
    if (which & POSITIONS) {
        batch->positions = take_packed(in, batch->rows);
        pad(in);
        batch->snapshot = take(in, batch->rows);
        pad(in);
    }
    if (which & COMMIT_TIMES) batch->commit_times = take(in, (uint64_t)batch->rows * 8);
    if (which & TRANSACTIONS) {
        batch->transactions = take_packed(in, batch->rows);
        pad(in);
        batch->transaction_order = take(in, (uint64_t)batch->rows * 8);
    }
    if (which & HEADERS) {
        batch->headers = in->at;
        batch->end = in->end;
    }
}

bool offtake_read_batch(const uint8_t *data, uint32_t length, offtake_batch *batch) {
    reader in = {data, data, data + length, false};
    const char *magic = take(&in, 4);
    if (!magic || !offtake_equal((offtake_text){magic, 4}, offtake_of("OTB1"))) return false;
    batch->schema = offtake_find_schema(take_u32(&in));
    batch->rows = take_u32(&in);
    batch->after_count = take_u32(&in);
    batch->before_count = take_u32(&in);
    uint32_t metadata = take_u32(&in);
    uint64_t columns = (uint64_t)batch->after_count + batch->before_count;
    // A column takes more than eight bytes, and places are those of the schema's columns.
    if (in.failed || !batch->schema || columns > length / 8) return false;
    batch->operations = take(&in, batch->rows);
    pad(&in);
    offtake_column *read = offtake_try_allocate((uint32_t)(columns * sizeof(offtake_column)));
    if (!read) return false;
    batch->after = read;
    batch->before = read + batch->after_count;
    for (uint64_t at = 0; at < columns && !in.failed; at++)
        take_column(&in, batch->rows, &read[at]);
    take_metadata(&in, metadata, batch);
    return !in.failed;
}

const offtake_column *offtake_column_of(const offtake_batch *batch, offtake_image image,
                                        uint32_t ordinal) {
    if (ordinal >= batch->schema->column_count) return NULL;
    int32_t place = batch->schema->told->places[ordinal];
    uint32_t count = image == OFFTAKE_BEFORE ? batch->before_count : batch->after_count;
    if (place < 0 || (uint32_t)place >= count) return NULL;
    return (image == OFFTAKE_BEFORE ? batch->before : batch->after) + place;
}

static offtake_text header_text(reader *in) {
    uint32_t length = take_u32(in);
    offtake_text text = {take(in, length), length};
    take(in, -length & 3);
    return text;
}

bool offtake_next_header(const offtake_batch *batch, offtake_header *header) {
    if (!batch->headers) return false;
    reader in = {batch->headers, header->at ? header->at : batch->headers, batch->end, false};
    if (!header->at) header->rows_left = take_u32(&in);
    while (!header->left) {
        if (!header->rows_left) return false;
        header->rows_left--;
        header->row = take_u32(&in);
        header->left = take_u32(&in);
        if (in.failed) return false;
    }
    header->left--;
    header->name = header_text(&in);
    header->value = header_text(&in);
    header->at = in.at;
    return !in.failed;
}

// ---- Row by row

// Whether the row has a before image, as far as the plugin sees it.
static bool has_before(const offtake_batch *batch, uint32_t row) {
    for (uint32_t at = 0; at < batch->before_count; at++) {
        if (offtake_presence_at(&batch->before[at], row) != OFFTAKE_ABSENT) return true;
    }
    return false;
}

static void visit_newest(offtake_row *row) {
    row->newest = true;
    row->image = row->operation == 'd' ? OFFTAKE_BEFORE : OFFTAKE_AFTER;
}

static void visit_row(offtake_row *row) {
    row->operation = row->batch->operations[row->row];
    visit_newest(row);
    if (row->every && row->operation != 'd' && has_before(row->batch, row->row)) {
        row->newest = false;
        row->image = OFFTAKE_BEFORE;
    }
}

static offtake_row first(const offtake_batch *batch, offtake_verdict *verdict, bool every) {
    offtake_row row = {.batch = batch, .verdict = verdict, .every = every};
    visit_row(&row);
    return row;
}

offtake_row offtake_first(const offtake_batch *batch, offtake_verdict *verdict) {
    return first(batch, verdict, true);
}

offtake_row offtake_first_newest(const offtake_batch *batch, offtake_verdict *verdict) {
    return first(batch, verdict, false);
}

bool offtake_next(offtake_row *row) {
    if (!row->newest) {
        visit_newest(row);
        return true;
    }
    if (row->row + 1 >= row->batch->rows) return false;
    row->row++;
    visit_row(row);
    return true;
}

// The row's column of that name if it is of the kind (or of bytes, for text) and has a value.
static offtake_presence look_up(const offtake_row *row, const char *name, offtake_kind kind,
                                const offtake_column **column) {
    int32_t ordinal = offtake_ordinal(row->batch->schema, offtake_of(name));
    *column = ordinal < 0 ? NULL : offtake_column_of(row->batch, row->image, (uint32_t)ordinal);
    if (!*column) return OFFTAKE_ABSENT;
    bool fits =
        (*column)->kind == kind || (kind == OFFTAKE_TEXT && (*column)->kind == OFFTAKE_BYTES);
    return fits ? offtake_presence_at(*column, row->row) : OFFTAKE_ABSENT;
}

#define GETTER(NAME, TYPE, KIND, READ)                                                             \
    offtake_presence NAME(const offtake_row *row, const char *name, TYPE *value) {                 \
        const offtake_column *column;                                                              \
        offtake_presence presence = look_up(row, name, KIND, &column);                             \
        if (presence == OFFTAKE_VALUE) *value = READ(column, row->row);                            \
        return presence;                                                                           \
    }

GETTER(offtake_get_boolean, bool, OFFTAKE_BOOLEAN, offtake_boolean_at)
GETTER(offtake_get_int64, int64_t, OFFTAKE_INT64, offtake_int64_at)
GETTER(offtake_get_uint64, uint64_t, OFFTAKE_UINT64, offtake_uint64_at)
GETTER(offtake_get_float64, double, OFFTAKE_FLOAT64, offtake_float64_at)
GETTER(offtake_get_text, offtake_text, OFFTAKE_TEXT, offtake_text_at)
