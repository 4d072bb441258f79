// The SDK natively: frames byte by byte, JSON, the row cursor. With AddressSanitizer a read or
// write past the end fails too. `sdk/c/tests/run.sh`
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/internal.h"

#define CHECK(CONDITION)                                                                           \
    do {                                                                                           \
        if (!(CONDITION)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #CONDITION);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

// ---- The plugin under test: calls what the test chose.

static offtake_failure (*configure)(offtake_config *, offtake_info *);
static offtake_failure (*on_schema)(offtake_schema *, offtake_interest *);
static offtake_failure (*process)(const offtake_batch *, offtake_verdict *);

offtake_failure offtake_plugin_configure(offtake_config *config, offtake_info *info) {
    return configure(config, info);
}
offtake_failure offtake_plugin_on_schema(offtake_schema *schema, offtake_interest *interest) {
    return on_schema(schema, interest);
}
offtake_failure offtake_plugin_process(const offtake_batch *batch, offtake_verdict *verdict) {
    return process(batch, verdict);
}

static offtake_answer call(offtake_answer (*function)(const uint8_t *, uint32_t), const void *data,
                           uint32_t length) {
    offtake_begin_call();
    // As from the gateway: aligned, and what lies behind it is not ours.
    uint8_t *copy = aligned_alloc(8, (length + 7u) & ~7u);
    memcpy(copy, data, length);
    offtake_answer answer = function(copy, length);
    free(copy);
    return answer;
}

static bool says(offtake_answer answer, const char *text) {
    if (answer.length == strlen(text) && !memcmp(answer.data, text, answer.length)) return true;
    fprintf(stderr, "%.*s\n", (int)answer.length, (const char *)answer.data);
    return false;
}

static bool is(offtake_text text, const char *other) {
    return offtake_equal(text, offtake_of(other));
}

// ---- JSON

static offtake_failure reads_values(offtake_config *config, offtake_info *info) {
    CHECK(is(offtake_config_text(config, "text"), "\xf0\x9d\x84\x9e\"\\/\n\xc3\xa9"));
    CHECK(offtake_config_int64(config, "most") == INT64_MAX);
    CHECK(offtake_config_int64(config, "least") == INT64_MIN);
    CHECK(offtake_config_int64_or(config, "none", 7) == 7);
    CHECK(offtake_config_boolean_or(config, "yes", false));
    offtake_json *list = offtake_config_value(config, "list");
    CHECK(list->count == 3 && list->first->next->kind == OFFTAKE_JSON_NULL);
    CHECK(is(offtake_json_member(list->first->next->next, "a")->text, "1.50"));
    info->name = "quoted \"name\"";
    return offtake_config_finish(config);
}

static offtake_failure wants_integer(offtake_config *config, offtake_info *info) {
    (void)info;
    offtake_config_int64(config, "n");
    offtake_config_text(config, "second");
    return offtake_config_finish(config);
}

static bool configured(const char *json, const char *answer) {
    return says(call(offtake_call_configure, json, (uint32_t)strlen(json)), answer);
}

static void configurations_are_read_without_loss(void) {
    configure = reads_values;
    CHECK(configured(
        " { \"text\" : \"\\ud834\\udd1e\\\"\\\\\\/\\n\xc3\xa9\", \"most\":9223372036854775807,"
        "\"least\":-9223372036854775808,\"yes\":true,\"list\":[[],null,{\"a\":1.50}]} ",
        "{\"ok\":{\"name\":\"quoted \\\"name\\\"\",\"version\":\"0\",\"protects\":false,"
        "\"required-columns\":[]}}"));
}

static void the_first_mistake_is_told(void) {
    configure = wants_integer;
    const char *missing = "{\"error\":{\"message\":\"config: `n` is missing\",\"permanent\":true}}";
    const char *wrong =
        "{\"error\":{\"message\":\"config: `n` is no integer\",\"permanent\":true}}";
    CHECK(configured("{}", missing));
    CHECK(configured("{\"n\":9223372036854775808}", wrong));
    CHECK(configured("{\"n\":1.0}", wrong));
    CHECK(configured("{\"n\":\"1\"}", wrong));
    CHECK(configured("{\"n\":1,\"second\":\"\",\"x\":0}",
                     "{\"error\":{\"message\":\"config: `x` is unknown\",\"permanent\":true}}"));
}

static void what_is_no_json_is_refused(void) {
    const char *bad[] = {"",
                         "{",
                         "{\"a\"}",
                         "{\"a\":}",
                         "{\"a\":1}}",
                         "[]",
                         "{\"a\":\"\\ud834\"}",
                         "{\"a\":\"\\x\"}",
                         "{\"a\":\"\\\"}",
                         "{\"a\":1,}"};
    for (size_t at = 0; at < sizeof bad / sizeof *bad; at++) {
        CHECK(configured(
            bad[at], "{\"error\":{\"message\":\"config: it is no table\",\"permanent\":true}}"));
    }
    char deep[400] = "{\"a\":";
    memset(deep + 5, '[', 300);
    CHECK(configured(deep,
                     "{\"error\":{\"message\":\"config: it is no table\",\"permanent\":true}}"));
}

// ---- Schemas

static const char SCHEMA[] =
    "{\"id\":7,\"subject\":\"table\",\"database\":\"shop\",\"namespace\":\"public\","
    "\"table\":\"t\",\"version\":1,\"columns\":["
    "{\"name\":\"n\",\"kind\":\"int64\",\"logical\":\"int8\",\"native\":\"bigint\",\"nullable\":"
    "true,\"labels\":[]},"
    "{\"name\":\"s\",\"kind\":\"text\",\"logical\":\"enum\",\"native\":\"mood\",\"nullable\":true,"
    "\"labels\":[\"a\",\"b\"]}],"
    "\"key\":[0],\"before-columns\":[0],\"extra\":[]}";

static offtake_failure wants_all(offtake_schema *schema, offtake_interest *interest) {
    CHECK(schema->column_count == 2 && schema->key_count == 1 && schema->key[0] == 0);
    CHECK(schema->columns[1].label_count == 2 && is(schema->columns[1].labels[1], "b"));
    offtake_want_all_columns(interest);
    offtake_remove_column(interest, 0);
    offtake_column_info added = {
        .name = offtake_of("x"), .kind = OFFTAKE_BOOLEAN, .logical = offtake_of("bool")};
    CHECK(offtake_add_column(interest, added) == 2);
    offtake_set_key(interest, (uint32_t[]){1, 2}, 2);
    offtake_on_stream(interest, offtake_of("all"));
    offtake_set_name(interest, offtake_of("a"), offtake_of("b"));
    const offtake_output output = {
        .name = offtake_of("o"), .columns = &added, .column_count = 1, .flat = true};
    CHECK(offtake_add_output(interest, &output) == 0);
    return OFFTAKE_OK;
}

static void an_interest_is_written_whole(void) {
    on_schema = wants_all;
    CHECK(says(
        call(offtake_call_on_schema, SCHEMA, sizeof SCHEMA - 1),
        "{\"ok\":{\"subscribe\":true,\"columns\":[0,1],\"wants\":[\"packed-text\"],"
        "\"shape\":{\"remove\":[0],\"retype\":[],\"add\":[{\"name\":\"x\",\"kind\":\"boolean\","
        "\"logical\":\"bool\",\"native\":\"\",\"nullable\":false,\"labels\":[]}],\"key\":[1,2],"
        "\"stream\":\"all\",\"name\":[\"a\",\"b\"]},\"outputs\":[{\"name\":\"o\",\"columns\":["
        "{\"name\":\"x\",\"kind\":\"boolean\",\"logical\":\"bool\",\"native\":\"\",\"nullable\":"
        "false,"
        "\"labels\":[]}],\"key\":[],\"form\":\"flat\"}]}}"));
}

// ---- Frames. Two rows: n is -2 and NULL, s is "ab" and "".

static const uint8_t FRAME[] = {
    'O',  'T',  'B',  '1',  7,    0,    0,    0,    2, 0, 0, 0, 2, 0, 0, 0,
    0,    0,    0,    0,    0,    0,    0,    0,                            // head
    'c',  'u',  0,    0,    0,    0,    0,    0,                            // operations
    0,    0,    0,    0,    1,    1,    0,    0,    0, 1, 0, 0, 0, 0, 0, 0, // n: presence
    0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, // n: values
    1,    0,    0,    0,    4,    0,    0,    0,    0, 0, 0, 0, 2, 0, 0, 0,
    2,    0,    0,    0,    'a',  'b',  0,    0}; // s

static offtake_failure sets_by_row(const offtake_batch *batch, offtake_verdict *verdict) {
    offtake_row row = offtake_first(batch, verdict);
    do {
        int64_t number = 99;
        offtake_text text = {0};
        offtake_presence presence = offtake_get_int64(&row, "n", &number);
        CHECK(offtake_get_text(&row, "s", &text) == OFFTAKE_VALUE);
        CHECK(offtake_get_text(&row, "n", &text) == OFFTAKE_ABSENT);
        CHECK(row.row == 0 ? presence == OFFTAKE_VALUE && number == -2 && is(text, "ab")
                           : presence == OFFTAKE_NULL && number == 99 && is(text, ""));
        offtake_cell *cell = offtake_put(&row, "s");
        offtake_write_int64(cell, INT64_MIN);
        if (row.row == 1) offtake_set_missing(cell, OFFTAKE_NULL);
    } while (offtake_next(&row));
    offtake_drop(verdict, 1);
    return OFFTAKE_OK;
}

static void a_verdict_is_what_the_page_says(void) {
    process = sets_by_row;
    offtake_answer answer = call(offtake_call_process, FRAME, sizeof FRAME);
    static const uint8_t expected[] = {
        'O', 'T', 'V', '1', 2,  0, 0, 0, 1,  0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, // drop
        2,   0,   0,   0,   80, 0, 0, 0, 1,  0, 0, 0, 0, 0, 0, 0,                         // set
        1,   0,   0,   0,   4,  1, 0, 0, 0,  1, 0, 0, 0, 0, 0, 0,                         // column
        0,   0,   0,   0,   20, 0, 0, 0, 40, 0, 0, 0};
    CHECK(answer.length == 112);
    CHECK(!memcmp(answer.data, expected, sizeof expected));
    CHECK(!memcmp(answer.data + 68, "-9223372036854775808-9223372036854775808", 40));
    CHECK(!memcmp(answer.data + 108, "\0\0\0", 4));
}

static offtake_failure emits_and_routes(const offtake_batch *batch, offtake_verdict *verdict) {
    (void)batch;
    for (uint32_t parent = 0; parent < 2; parent++) {
        offtake_emission *emission = offtake_emit(verdict, 0, parent, parent ? 'd' : 'c');
        if (parent) {
            offtake_set_boolean(offtake_emitted(emission, OFFTAKE_BEFORE, 0), true);
            offtake_emit_stream(emission, offtake_of("s"));
            offtake_emit_header(emission, offtake_of("h"), offtake_of("v"));
        }
        offtake_emit_partition(emission, parent + 7);
    }
    offtake_set_stream(verdict, 1, offtake_of("abcde"));
    offtake_remove_header(verdict, 0, offtake_of("gone"));
    offtake_fail(verdict, 0, offtake_retry(offtake_of("no")));
    return OFFTAKE_OK;
}

static void emitted_rows_and_routes_are_written_as_the_page_says(void) {
    process = emits_and_routes;
    offtake_answer answer = call(offtake_call_process, FRAME, sizeof FRAME);
    static const uint8_t expected[] = {
        'O', 'T', 'V', '1', 4, 0, 0, 0,
        // Row 1 leaves on "abcde".
        4, 0, 0, 0, 36, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 'a', 'b', 'c', 'd',
        'e', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        // Row 0 loses the header "gone".
        4, 0, 0, 0, 32, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0,
        0, 0, 4, 0, 0, 0, 'g', 'o', 'n', 'e',
        // Two emitted rows: parents, operations, streams, partitions, headers, columns.
        5, 0, 0, 0, 112, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'c', 'd', 0, 0, 2,
        0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 's', 0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0,
        0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 'h', 0, 0, 0, 1, 0, 0, 0, 'v', 0, 0, 0, 0, 0, 0, 0,
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0,
        0,
        // Row 0 failed, and may be tried again.
        6, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 'n', 'o', 0, 0};
    CHECK(answer.length == sizeof expected);
    CHECK(!memcmp(answer.data, expected, sizeof expected));
}

// Rows by every image. Four updates and a deleted row: s is "a" after "A", "b" without a before
// image, NULL after "C", unchanged after NULL, and gone with "E".

static const uint8_t IMAGES[] = {
    'O', 'T', 'B', '1', 8,   0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, // head
    'u', 'u', 'u', 'u', 'd', 0, 0, 0,                                                 // operations
    0,   0,   0,   0,   4,   1, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, // after: presence
    0,   0,   0,   0,   1,   0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0,
    'a', 'b', 0,   0,   0,   0, 0,
    0,                                                        // after: s
    0,   0,   0,   0,   4,   1, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, // before: presence
    0,   0,   0,   0,   1,   0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0,
    'A', 'C', 'E', 0,   0,   0, 0, 0}; // before: s

static const char SECRETS[] = "{\"id\":8,\"columns\":[{\"name\":\"s\",\"kind\":\"text\"}]}";

static offtake_failure wants_both_images(offtake_schema *schema, offtake_interest *interest) {
    CHECK(schema->id == 8);
    offtake_want_all_columns(interest);
    offtake_want(interest, OFFTAKE_WANT_BEFORE_IMAGE);
    return OFFTAKE_OK;
}

static char visits[64];

// Notes a row and which of its images it is, then covers it.
static void visit(const offtake_row *row) {
    size_t length = strlen(visits);
    snprintf(visits + length, sizeof visits - length, "%u%s%s ", row->row,
             offtake_is_before(row) ? "b" : "", offtake_is_newest(row) ? "!" : "");
    offtake_text text;
    if (offtake_get_text(row, "s", &text) != OFFTAKE_VALUE) return;
    CHECK(text.length == 1 && (text.data[0] < 'a') == offtake_is_before(row));
    offtake_set_text(offtake_put(row, "s"), offtake_of("*"));
}

static offtake_failure covers_every_image(const offtake_batch *batch, offtake_verdict *verdict) {
    offtake_row row = offtake_first(batch, verdict);
    do {
        visit(&row);
    } while (offtake_next(&row));
    return OFFTAKE_OK;
}

static offtake_failure covers_the_newest(const offtake_batch *batch, offtake_verdict *verdict) {
    offtake_row row = offtake_first_newest(batch, verdict);
    do {
        visit(&row);
        row.image = OFFTAKE_BEFORE; // which the next visit takes back
    } while (offtake_next(&row));
    return OFFTAKE_OK;
}

// In both images and where there is a value alone: rows, and a star each.
static void a_row_that_is_covered_is_covered_in_both_images(void) {
    on_schema = wants_both_images;
    CHECK(call(offtake_call_on_schema, SECRETS, sizeof SECRETS - 1).length > 6);
    process = covers_every_image;
    visits[0] = 0;
    offtake_answer answer = call(offtake_call_process, IMAGES, sizeof IMAGES);
    CHECK(!strcmp(visits, "0b 0! 1! 2b 2! 3b 3! 4b! "));
    static const uint8_t expected[] = {
        'O', 'T', 'V', '1', 2,   0,   0, 0,                          // two sets
        2,   0,   0,   0,   56,  0,   0, 0, 0, 0, 0, 0, 3,  0, 0, 0, // before: three rows
        0,   0,   0,   0,   2,   0,   0, 0, 4, 0, 0, 0, 0,  0, 0, 0, // which
        0,   0,   0,   0,   4,   0,   0, 0, 0, 0, 0, 0, 1,  0, 0, 0,
        2,   0,   0,   0,   3,   0,   0, 0, // s: offsets
        '*', '*', '*', 0,   0,   0,   0, 0, 2, 0, 0, 0, 40, 0, 0, 0,
        1,   0,   0,   0,   2,   0,   0, 0, // after: two rows
        0,   0,   0,   0,   1,   0,   0, 0, // which
        0,   0,   0,   0,   4,   0,   0, 0, 0, 0, 0, 0, 1,  0, 0, 0,
        2,   0,   0,   0,   '*', '*', 0, 0};
    CHECK(answer.length == sizeof expected);
    CHECK(!memcmp(answer.data, expected, sizeof expected));
}

static void the_newest_image_is_visited_once_a_change(void) {
    process = covers_the_newest;
    visits[0] = 0;
    offtake_answer answer = call(offtake_call_process, IMAGES, sizeof IMAGES);
    CHECK(!strcmp(visits, "0! 1! 2! 3! 4b! "));
    CHECK(answer.length > 8 && answer.data[4] == 2);
}

static void a_columns_kind_follows_from_its_logical_type(void) {
    const struct {
        const char *logical;
        offtake_kind kind;
        bool free_text;
    } types[] = {{"bool", OFFTAKE_BOOLEAN, false},    {"int4", OFFTAKE_INT64, false},
                 {"uint8", OFFTAKE_UINT64, false},    {"float4", OFFTAKE_FLOAT64, false},
                 {"bytes", OFFTAKE_BYTES, false},     {"text", OFFTAKE_TEXT, true},
                 {"varchar(80)", OFFTAKE_TEXT, true}, {"decimal(12,2)", OFFTAKE_TEXT, false},
                 {"uuid", OFFTAKE_TEXT, false},       {"json", OFFTAKE_TEXT, false},
                 {"list<text>", OFFTAKE_TEXT, false}, {"textual", OFFTAKE_TEXT, false}};
    for (size_t at = 0; at < sizeof types / sizeof *types; at++) {
        offtake_column_info column = offtake_new_column("it", types[at].logical);
        CHECK(column.kind == types[at].kind && column.nullable && is(column.name, "it"));
        CHECK(offtake_is_free_text(&column) == types[at].free_text);
    }
}

static offtake_failure sets_nothing(const offtake_batch *batch, offtake_verdict *verdict) {
    (void)verdict;
    CHECK(batch->rows == 2 && !batch->positions.offsets && !batch->snapshot);
    return OFFTAKE_OK;
}

static offtake_failure sets_wrong_kind(const offtake_batch *batch, offtake_verdict *verdict) {
    (void)batch;
    offtake_set_text(offtake_patch(verdict, OFFTAKE_AFTER, 0, 0), offtake_of("x"));
    return OFFTAKE_OK;
}

static offtake_failure sets_out_of_order(const offtake_batch *batch, offtake_verdict *verdict) {
    (void)batch;
    offtake_set_int64(offtake_patch(verdict, OFFTAKE_AFTER, 0, 1), 1);
    offtake_set_int64(offtake_patch(verdict, OFFTAKE_AFTER, 0, 0), 1);
    return OFFTAKE_OK;
}

static offtake_failure sets_what_is_not(const offtake_batch *batch, offtake_verdict *verdict) {
    (void)batch;
    offtake_set_int64(offtake_patch(verdict, OFFTAKE_AFTER, 99, 0), 1);
    offtake_emission *emission = offtake_emit(verdict, 5, 0, 'c');
    offtake_set_text(offtake_emitted(emission, OFFTAKE_AFTER, 3), offtake_of("x"));
    return OFFTAKE_OK;
}

static void mistakes_fail_the_call(void) {
    process = sets_nothing;
    CHECK(call(offtake_call_process, FRAME, sizeof FRAME).length == 0);
    struct {
        offtake_failure (*process)(const offtake_batch *, offtake_verdict *);
        const char *message;
    } mistakes[] = {
        {sets_wrong_kind, "a column was set to a value of another kind"},
        {sets_out_of_order, "a column's rows were set out of order, or one twice"},
        {sets_what_is_not, "a column was set that there is not"},
    };
    for (size_t at = 0; at < 3; at++) {
        process = mistakes[at].process;
        offtake_answer answer = call(offtake_call_process, FRAME, sizeof FRAME);
        uint32_t length = (uint32_t)strlen(mistakes[at].message);
        CHECK(answer.length == 12 + ((length + 3) & ~3u));
        CHECK(!memcmp(answer.data, "OTF1\1\0\0\0", 8));
        CHECK(!memcmp(answer.data + 12, mistakes[at].message, length));
    }
}

static void a_frame_that_is_cut_off_is_refused(void) {
    process = sets_nothing;
    // The last two bytes are padding.
    for (uint32_t length = 0; length < sizeof FRAME - 2; length++) {
        offtake_answer answer = call(offtake_call_process, FRAME, length);
        CHECK(answer.length > 12 && !memcmp(answer.data + 12, "the batch cannot be read", 24));
    }
}

int main(void) {
    configurations_are_read_without_loss();
    the_first_mistake_is_told();
    what_is_no_json_is_refused();
    an_interest_is_written_whole();
    a_verdict_is_what_the_page_says();
    emitted_rows_and_routes_are_written_as_the_page_says();
    mistakes_fail_the_call();
    a_frame_that_is_cut_off_is_refused();
    a_row_that_is_covered_is_covered_in_both_images();
    the_newest_image_is_visited_once_a_change();
    a_columns_kind_follows_from_its_logical_type();
    puts("sdk/c: 11 tests passed");
    return 0;
}
