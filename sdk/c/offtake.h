// Write a plugin for the Offtake gateway in C: three functions.
//
//     offtake_failure offtake_plugin_configure(offtake_config *, offtake_info *);
//     offtake_failure offtake_plugin_on_schema(offtake_schema *, offtake_interest *);
//     offtake_failure offtake_plugin_process(const offtake_batch *, offtake_verdict *);
//
// A plugin sees the changes of a database on their way to the gateway's log, up to 256 at a time
// and only the columns that it asked for, and says what becomes of them. README.md goes from
// nothing to a tested plugin; this file is the reference. Freestanding: no C library is needed.
//
// What holds for every plugin:
// - No surroundings. No file, network, clock or randomness; equal batches give equal answers, and
//   cutting the same changes into other batches changes nothing. Static variables are a cache: the
//   gateway may start a fresh instance between two calls.
// - Saying nothing passes everything. Only what the verdict names is touched.
// - Four states. A column of a row has a value, or is NULL, or is unchanged (a large value that the
//   update left alone; the database does not send it), or absent (not in this image).
// - Failures name no values. Messages and log lines end up in files; rows must not.
// - Memory comes from an arena that is emptied before the next call; nothing is freed. What the
//   gateway handed over, texts included, is valid until the function returns.
#ifndef OFFTAKE_H
#define OFFTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- Texts and memory

// UTF-8 text, or bytes: where it begins and how long it is. Not ended by a zero.
typedef struct {
    const char *data;
    uint32_t length;
} offtake_text;

// A text of a C string, most often a literal.
static inline offtake_text offtake_of(const char *string) {
    return (offtake_text){string, (uint32_t)__builtin_strlen(string)};
}

bool offtake_equal(offtake_text a, offtake_text b);

// Length in bytes of the character (Unicode scalar value) that begins with this byte.
static inline uint32_t offtake_character_length(char first) {
    uint8_t byte = (uint8_t)first;
    return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

// Memory until the next call, and memory that stays; zeroed, aligned to 8. Where the plugin's
// memory limit is reached, the call traps.
void *offtake_allocate(uint32_t size);
void *offtake_keep(uint32_t size);

// Texts one behind the other: offtake_join(offtake_of("column "), name).
#define offtake_join(...)                                                                          \
    offtake_join_parts((const offtake_text[]){__VA_ARGS__},                                        \
                       sizeof((const offtake_text[]){__VA_ARGS__}) / sizeof(offtake_text))
offtake_text offtake_join_parts(const offtake_text *parts, uint32_t count);

// ---- Failures

// What the three functions return: OFFTAKE_OK, or why not.
typedef struct {
    bool failed;
    bool permanent;
    offtake_text message;
} offtake_failure;

#define OFFTAKE_OK ((offtake_failure){0})

// A failure that another attempt would meet again.
static inline offtake_failure offtake_refuse(offtake_text message) {
    return (offtake_failure){true, true, message};
}

// A failure that a fresh instance may not meet.
static inline offtake_failure offtake_retry(offtake_text message) {
    return (offtake_failure){true, false, message};
}

// ---- Configuration

// A JSON value. Members and elements follow by `first` and `next`. A number is kept as it is
// written, in `text`.
typedef enum {
    OFFTAKE_JSON_NULL,
    OFFTAKE_JSON_FALSE,
    OFFTAKE_JSON_TRUE,
    OFFTAKE_JSON_NUMBER,
    OFFTAKE_JSON_TEXT,
    OFFTAKE_JSON_LIST,
    OFFTAKE_JSON_OBJECT
} offtake_json_kind;

typedef struct offtake_json {
    offtake_json_kind kind;
    bool used;
    uint32_t count;
    offtake_text name;
    offtake_text text;
    struct offtake_json *first;
    struct offtake_json *next;
} offtake_json;

// The plugin's `config` table. It stays for as long as the instance does.
typedef struct {
    offtake_json *object;
    offtake_text mistake;
} offtake_config;

// Values by their names. Where one is missing or of another type the first such mistake is kept,
// and offtake_config_finish gives it; so no call needs a check of its own.
offtake_text offtake_config_text(offtake_config *config, const char *name);
offtake_text offtake_config_text_or(offtake_config *config, const char *name, const char *other);
int64_t offtake_config_int64(offtake_config *config, const char *name);
int64_t offtake_config_int64_or(offtake_config *config, const char *name, int64_t other);
bool offtake_config_boolean_or(offtake_config *config, const char *name, bool other);
// Any value, or NULL where there is none.
offtake_json *offtake_config_value(offtake_config *config, const char *name);
bool offtake_config_has(const offtake_config *config, const char *name);
// The first mistake, or a name that was not asked for.
offtake_failure offtake_config_finish(offtake_config *config);

offtake_json *offtake_json_member(const offtake_json *object, const char *name);
// False: no integer of 64 bits.
bool offtake_json_int64(const offtake_json *number, int64_t *value);

// What a plugin says of itself. One that protects is always given both images, and no failure of it
// lets a change pass; the required columns are those that it promises to cover.
typedef struct {
    const char *name;
    const char *version;
    bool protects;
    const offtake_text *required_columns;
    uint32_t required_count;
    // It keeps state (`offtake_state_get_many` and its like), which the gateway's configuration has
    // to grant.
    bool stateful;
} offtake_info;

// ---- Schemas and interests

typedef enum {
    OFFTAKE_BOOLEAN,
    OFFTAKE_INT64,
    OFFTAKE_UINT64,
    OFFTAKE_FLOAT64,
    OFFTAKE_TEXT,
    OFFTAKE_BYTES
} offtake_kind;

typedef struct {
    offtake_text name;
    offtake_kind kind;
    // The type in terms that do not depend on the database: `decimal(12,2)`, `timestamptz`, `json`.
    offtake_text logical;
    // The database's own name of the type.
    offtake_text native;
    bool nullable;
    // An enum's labels.
    const offtake_text *labels;
    uint32_t label_count;
} offtake_column_info;

// A column that may be NULL, of a logical type, with the kind that goes with it: `text`, `int4`,
// `int8`, `float8`, `bool`, `bytes`, `decimal(12,2)`, `timestamptz`, `uuid`, `json`.
offtake_column_info offtake_new_column(const char *name, const char *logical);
// Whether any text is a proper value: `text`, `varchar`, `char` and their like. Decimals, times,
// UUIDs, JSON and lists travel as text too, but only some texts are their values.
bool offtake_is_free_text(const offtake_column_info *column);

// A table's definition. It stays for as long as the instance does.
typedef struct {
    uint32_t id;
    // Logical messages, with the columns `prefix` and `content`.
    bool is_message;
    offtake_text database, namespace_, table;
    uint32_t version;
    const offtake_column_info *columns;
    uint32_t column_count;
    // Ordinals of the key's columns in key order.
    const uint32_t *key;
    uint32_t key_count;
    // Ordinals of the columns that the source sends of a row before its change.
    const uint32_t *before_columns;
    uint32_t before_count;
    // For the plugin: what it found out of this table (offtake_keep).
    void *own;
    // The SDK's notes.
    struct offtake_told *told;
} offtake_schema;

// Ordinal of the column of that name, or -1.
int32_t offtake_ordinal(const offtake_schema *schema, offtake_text name);
// `public.people.age has type int4: REASON`, as a permanent failure.
offtake_failure offtake_refuse_column(const offtake_schema *schema, uint32_t ordinal,
                                      const char *reason);

enum {
    OFFTAKE_WANT_BEFORE_IMAGE = 1,
    OFFTAKE_WANT_HEADERS = 2,
    OFFTAKE_WANT_POSITIONS = 4,
    OFFTAKE_WANT_COMMIT_TIMES = 8,
    OFFTAKE_WANT_TRANSACTIONS = 16
};

// What a plugin wants to see of a table. Saying nothing: never called for it.
typedef struct offtake_interest offtake_interest;

// The column of that ordinal; without any column: every change, for operations only.
void offtake_want_column(offtake_interest *interest, uint32_t ordinal);
void offtake_want_all_columns(offtake_interest *interest);
void offtake_want(offtake_interest *interest, uint32_t wants);

// How what leaves differs from the input. Ordinals are those of the input; offtake_add_column gives
// those of added columns, and that is how patches and the key count.
void offtake_remove_column(offtake_interest *interest, uint32_t ordinal);
void offtake_retype_column(offtake_interest *interest, uint32_t ordinal, offtake_column_info info);
uint32_t offtake_add_column(offtake_interest *interest, offtake_column_info info);
void offtake_set_key(offtake_interest *interest, const uint32_t *ordinals, uint32_t count);
void offtake_on_stream(offtake_interest *interest, offtake_text stream);
void offtake_set_name(offtake_interest *interest, offtake_text namespace_, offtake_text table);
// The row alone instead of before and after images; not every gateway offers it.
void offtake_flat(offtake_interest *interest);
// The column is the payload, as it is.
void offtake_opaque(offtake_interest *interest, uint32_t ordinal, offtake_text content_type);

// What emitted rows are. Gives the output's number.
typedef struct {
    offtake_text name;
    const offtake_column_info *columns;
    uint32_t column_count;
    const uint32_t *key;
    uint32_t key_count;
    // The stream of rows that name none; without data: the parent's.
    offtake_text stream;
    // The row alone instead of before and after images.
    bool flat;
    // With a content type: the value of the column `payload` as it is, instead of images.
    offtake_text content_type;
    uint32_t payload;
} offtake_output;
uint32_t offtake_add_output(offtake_interest *interest, const offtake_output *output);

// ---- Batches

typedef enum { OFFTAKE_BEFORE, OFFTAKE_AFTER } offtake_image;

// Why a row has a value in a column, or has none.
typedef enum { OFFTAKE_VALUE, OFFTAKE_NULL, OFFTAKE_UNCHANGED, OFFTAKE_ABSENT } offtake_presence;

// A column of an image, read in place. Rows that have no value hold a zero or an empty text.
typedef struct {
    uint32_t ordinal;
    offtake_kind kind;
    // NULL: every row has a value.
    const uint8_t *presence;
    // One element a row; of texts and bytes all of them, one behind the other.
    const void *values;
    const uint32_t *offsets;
} offtake_column;

static inline offtake_presence offtake_presence_at(const offtake_column *column, uint32_t row) {
    return column->presence ? (offtake_presence)column->presence[row] : OFFTAKE_VALUE;
}
// One of these by the column's kind.
static inline bool offtake_boolean_at(const offtake_column *column, uint32_t row) {
    return ((const uint8_t *)column->values)[row] != 0;
}
static inline int64_t offtake_int64_at(const offtake_column *column, uint32_t row) {
    return ((const int64_t *)column->values)[row];
}
static inline uint64_t offtake_uint64_at(const offtake_column *column, uint32_t row) {
    return ((const uint64_t *)column->values)[row];
}
static inline double offtake_float64_at(const offtake_column *column, uint32_t row) {
    return ((const double *)column->values)[row];
}
// Text and bytes.
static inline offtake_text offtake_text_at(const offtake_column *column, uint32_t row) {
    uint32_t begin = column->offsets[row];
    return (offtake_text){(const char *)column->values + begin, column->offsets[row + 1] - begin};
}

// Opaque texts, one a row; absent where they were not wanted.
typedef struct {
    const uint32_t *offsets;
    const char *data;
} offtake_packed;

static inline offtake_text offtake_packed_at(const offtake_packed *packed, uint32_t row) {
    if (!packed->offsets) return (offtake_text){0};
    uint32_t begin = packed->offsets[row];
    return (offtake_text){packed->data + begin, packed->offsets[row + 1] - begin};
}

// Changes of one table in source order, at least one.
typedef struct {
    const offtake_schema *schema;
    uint32_t rows;
    // One letter a row: c, u, d, r (read by a snapshot), t (truncated), m (logical message).
    const char *operations;
    // The wanted columns in the order in which they were wanted.
    const offtake_column *after, *before;
    uint32_t after_count, before_count;
    // What offtake_want asked for; else NULL. Snapshot: 0 none, 1 first row of all, 2 a row, 3 last
    // of its table, 4 last of all, 5 first of its table. Commit times: microseconds since 1970.
    offtake_packed positions, transactions;
    const uint8_t *snapshot;
    const int64_t *commit_times;
    const uint64_t *transaction_order;
    const uint8_t *headers, *end;
} offtake_batch;

// A column of an image, or NULL where it was not wanted.
const offtake_column *offtake_column_of(const offtake_batch *batch, offtake_image image,
                                        uint32_t ordinal);

// Walks all headers, row by row: offtake_header header = {0}; while (offtake_next_header(b,
// &header))
typedef struct {
    uint32_t row;
    offtake_text name, value;
    const uint8_t *at;
    uint32_t rows_left, left;
} offtake_header;
bool offtake_next_header(const offtake_batch *batch, offtake_header *header);

// ---- Verdicts

typedef struct offtake_verdict offtake_verdict;
// A value that is being set.
typedef struct offtake_cell offtake_cell;

// Leaves a row out; wins over everything else that is said of it.
void offtake_drop(offtake_verdict *verdict, uint32_t row);
// Makes a row's change one of another kind.
void offtake_set_operation(offtake_verdict *verdict, uint32_t row, char operation);
// Fails one row; what becomes of it is the operator's choice (`on_error`).
void offtake_fail(offtake_verdict *verdict, uint32_t row, offtake_failure failure);
// Each of these at most once a row; partitions in the order of the rows.
void offtake_set_stream(offtake_verdict *verdict, uint32_t row, offtake_text stream);
void offtake_set_partition(offtake_verdict *verdict, uint32_t row, uint32_t partition);
// One of the same name is replaced.
void offtake_add_header(offtake_verdict *verdict, uint32_t row, offtake_text name,
                        offtake_text value);
void offtake_remove_header(offtake_verdict *verdict, uint32_t row, offtake_text name);

// The cell of a row in a column of an image, to be set. Rows of a column in ascending order, each
// once. The column need not be a wanted one.
offtake_cell *offtake_patch(offtake_verdict *verdict, offtake_image image, uint32_t ordinal,
                            uint32_t row);

// Sets the cell; the value is of the column's kind, else the call fails and says so.
void offtake_set_boolean(offtake_cell *cell, bool value);
void offtake_set_int64(offtake_cell *cell, int64_t value);
void offtake_set_uint64(offtake_cell *cell, uint64_t value);
void offtake_set_float64(offtake_cell *cell, double value);
void offtake_set_text(offtake_cell *cell, offtake_text value);
void offtake_set_bytes(offtake_cell *cell, offtake_text value);
// NULL, unchanged or absent.
void offtake_set_missing(offtake_cell *cell, offtake_presence presence);
// The value of a row in a column of the same kind, or its lack of one.
void offtake_set_from(offtake_cell *cell, const offtake_column *column, uint32_t row);

// A text or bytes written in place, piece by piece.
void offtake_write(offtake_cell *cell, offtake_text piece);
void offtake_write_repeated(offtake_cell *cell, char character, uint32_t times);
void offtake_write_int64(offtake_cell *cell, int64_t number);
void offtake_write_uint64(offtake_cell *cell, uint64_t number);

// A row that is being emitted on an output, its parent's own change beside it. Parents in ascending
// order; of one parent, rows of the first output come first. What is not set is NULL in an after
// image and absent in a before image. Operations: c and r have an after image, d a before image.
typedef struct offtake_emission offtake_emission;
offtake_emission *offtake_emit(offtake_verdict *verdict, uint32_t output, uint32_t parent,
                               char operation);
offtake_cell *offtake_emitted(offtake_emission *emission, offtake_image image, uint32_t ordinal);
void offtake_emit_stream(offtake_emission *emission, offtake_text stream);
// For every row of the output in this call, or for none.
void offtake_emit_partition(offtake_emission *emission, uint32_t partition);
void offtake_emit_header(offtake_emission *emission, offtake_text name, offtake_text value);

// ---- Row by row

// An image of a change, for plugins that do not mind the cost: a column is looked up by its name at
// each access (README.md has what that takes).
typedef struct {
    const offtake_batch *batch;
    offtake_verdict *verdict;
    uint32_t row;
    char operation;
    // The image that is read and set; may be chosen until the next visit.
    offtake_image image;
    // The cursor's own: whether it visits every image, and whether this visit is the newest's.
    bool every, newest;
} offtake_row;

// `offtake_row row = offtake_first(batch, verdict); do { … } while (offtake_next(&row));`
//
// Every image of each change, in order: an update's before image first, where it has one and before
// images were wanted, then its after image; of a deleted row the before image, of all others the
// after image alone. So what offtake_put covers is covered in both. What is said of the change and
// not of an image (a row to emit, a stream) is said once: where offtake_is_newest says so.
offtake_row offtake_first(const offtake_batch *batch, offtake_verdict *verdict);
// The same for those who decide by the new row, such as a filter: once a change, the after image,
// or the before image of a deleted row. What is set is not set in the before image of an update.
offtake_row offtake_first_newest(const offtake_batch *batch, offtake_verdict *verdict);
// Goes on to the next image, or change; false: there is none.
bool offtake_next(offtake_row *row);

// Whether it is the row before the change that is read and set.
static inline bool offtake_is_before(const offtake_row *row) {
    return row->image == OFFTAKE_BEFORE;
}
// Whether this visit is that of the image that counts: the after image, or the before image of a
// deleted row. It is so once a change, whatever image was chosen.
static inline bool offtake_is_newest(const offtake_row *row) { return row->newest; }

// The presence; a value is written to `value` only where there is one. Another kind: absent.
offtake_presence offtake_get_boolean(const offtake_row *row, const char *name, bool *value);
offtake_presence offtake_get_int64(const offtake_row *row, const char *name, int64_t *value);
offtake_presence offtake_get_uint64(const offtake_row *row, const char *name, uint64_t *value);
offtake_presence offtake_get_float64(const offtake_row *row, const char *name, double *value);
offtake_presence offtake_get_text(const offtake_row *row, const char *name, offtake_text *value);
// The cell of a column by its name as it leaves, to be set. No such column: the call fails.
offtake_cell *offtake_put(const offtake_row *row, const char *name);

// ---- The gateway

// Writes a line to the gateway's log at its debug level: 0 trace, 1 debug, 2 info, 3 warn, 4 error.
void offtake_log(uint32_t level, offtake_text line);
// Registers a metric in offtake_plugin_configure and gives its number.
uint32_t offtake_counter(offtake_text name);
uint32_t offtake_histogram(offtake_text name);
void offtake_count(uint32_t counter, uint32_t delta);
void offtake_observe(uint32_t histogram, double value);

// ---- Kept state

// Keys and values that are kept with the position: after a crash both are as of the same change,
// and of a call that fails nothing is kept. In offtake_plugin_process alone, by a plugin that says
// `stateful`. A call of these costs more than a key in one: ask for all keys of a batch at once.

typedef struct {
    bool exists;
    offtake_text value;
} offtake_stored;

typedef struct {
    offtake_text key, value;
} offtake_entry;

// In place of seconds: the values do not end.
#define OFFTAKE_NO_END (-1)

// One a key, in the order of the keys; valid until the call returns.
const offtake_stored *offtake_state_get_many(const offtake_text *keys, uint32_t count);
// Sets values, which are gone once so many seconds have passed, by commit times.
void offtake_state_put_many(const offtake_entry *entries, uint32_t count, int64_t seconds);
void offtake_state_delete_many(const offtake_text *keys, uint32_t count);

// ---- What the plugin defines

// Once, at the start: reads the configuration, says who it is.
offtake_failure offtake_plugin_configure(offtake_config *config, offtake_info *info);
// Once a table: which columns it wants to see.
offtake_failure offtake_plugin_on_schema(offtake_schema *schema, offtake_interest *interest);
// For up to 256 changes: what becomes of them. A failure fails the whole call.
offtake_failure offtake_plugin_process(const offtake_batch *batch, offtake_verdict *verdict);

#endif
