// The configuration and the schemas as the plugin reads them, and the JSON of what it answers.
#include "internal.h"

// ---- Configuration

static void note(offtake_config *config, const char *name, const char *mistake) {
    if (config->mistake.data) return;
    offtake_text text = offtake_join(offtake_of("config: `"), offtake_of(name), offtake_of("` "),
                                     offtake_of(mistake));
    config->mistake = text;
}

offtake_json *offtake_config_value(offtake_config *config, const char *name) {
    offtake_json *value = offtake_json_member(config->object, name);
    if (value) value->used = true;
    return value;
}

bool offtake_config_has(const offtake_config *config, const char *name) {
    return offtake_json_member(config->object, name) != NULL;
}

offtake_text offtake_config_text(offtake_config *config, const char *name) {
    offtake_json *value = offtake_config_value(config, name);
    if (value && value->kind == OFFTAKE_JSON_TEXT) return value->text;
    note(config, name, value ? "is no text" : "is missing");
    return (offtake_text){0};
}

offtake_text offtake_config_text_or(offtake_config *config, const char *name, const char *other) {
    return offtake_config_has(config, name) ? offtake_config_text(config, name) : offtake_of(other);
}

int64_t offtake_config_int64(offtake_config *config, const char *name) {
    offtake_json *value = offtake_config_value(config, name);
    int64_t number = 0;
    if (!offtake_json_int64(value, &number))
        note(config, name, value ? "is no integer" : "is missing");
    return number;
}

int64_t offtake_config_int64_or(offtake_config *config, const char *name, int64_t other) {
    return offtake_config_has(config, name) ? offtake_config_int64(config, name) : other;
}

bool offtake_config_boolean_or(offtake_config *config, const char *name, bool other) {
    offtake_json *value = offtake_config_value(config, name);
    if (!value) return other;
    if (value->kind == OFFTAKE_JSON_TRUE) return true;
    if (value->kind != OFFTAKE_JSON_FALSE) note(config, name, "is neither true nor false");
    return false;
}

offtake_failure offtake_config_finish(offtake_config *config) {
    if (config->mistake.data) return offtake_refuse(config->mistake);
    for (offtake_json *member = config->object->first; member; member = member->next) {
        if (member->used) continue;
        return offtake_refuse(
            offtake_join(offtake_of("config: `"), member->name, offtake_of("` is unknown")));
    }
    return OFFTAKE_OK;
}

// ---- Schemas

static offtake_told *first_told;

static offtake_text text_of(const offtake_json *object, const char *name) {
    offtake_json *member = offtake_json_member(object, name);
    return member ? member->text : (offtake_text){"", 0};
}

static uint32_t number_of(const offtake_json *value) {
    int64_t number = 0;
    return offtake_json_int64(value, &number) ? (uint32_t)number : 0;
}

static const uint32_t *ordinals(const offtake_json *list, uint32_t *count) {
    *count = list ? list->count : 0;
    uint32_t *kept = offtake_keep(*count * sizeof(uint32_t));
    uint32_t at = 0;
    for (offtake_json *item = list ? list->first : NULL; item; item = item->next) {
        kept[at++] = number_of(item);
    }
    return kept;
}

static const char *const KINDS[] = {"boolean", "int64", "uint64", "float64", "text", "bytes"};

// Logical types whose values have a kind of their own; all others are text.
static const struct {
    const char *logical;
    offtake_kind kind;
} OWN_KINDS[] = {
    {"bool", OFFTAKE_BOOLEAN}, {"int1", OFFTAKE_INT64},     {"int2", OFFTAKE_INT64},
    {"int4", OFFTAKE_INT64},   {"int8", OFFTAKE_INT64},     {"oid", OFFTAKE_INT64},
    {"uint1", OFFTAKE_UINT64}, {"uint2", OFFTAKE_UINT64},   {"uint4", OFFTAKE_UINT64},
    {"uint8", OFFTAKE_UINT64}, {"float4", OFFTAKE_FLOAT64}, {"float8", OFFTAKE_FLOAT64},
    {"bytes", OFFTAKE_BYTES}};

offtake_column_info offtake_new_column(const char *name, const char *logical) {
    offtake_column_info column = {.name = offtake_of(name),
                                  .kind = OFFTAKE_TEXT,
                                  .logical = offtake_of(logical),
                                  .nullable = true};
    for (uint32_t at = 0; at < sizeof OWN_KINDS / sizeof *OWN_KINDS; at++) {
        if (offtake_equal(column.logical, offtake_of(OWN_KINDS[at].logical)))
            column.kind = OWN_KINDS[at].kind;
    }
    return column;
}

// Logical types whose values are any text.
static const char *const FREE_TEXT[] = {"text",   "string",    "varchar", "char",
                                        "bpchar", "character", "citext",  "name"};

bool offtake_is_free_text(const offtake_column_info *column) {
    offtake_text logical = column->logical;
    // It may carry a length: `varchar(80)`.
    for (uint32_t at = 0; at < logical.length; at++) {
        if (logical.data[at] == '(') logical.length = at;
    }
    for (uint32_t at = 0; at < sizeof FREE_TEXT / sizeof *FREE_TEXT; at++) {
        if (offtake_equal(logical, offtake_of(FREE_TEXT[at]))) return column->kind == OFFTAKE_TEXT;
    }
    return false;
}

static bool read_column(const offtake_json *from, offtake_column_info *column) {
    offtake_text kind = text_of(from, "kind");
    uint32_t at = 0;
    while (at < 6 && !offtake_equal(kind, offtake_of(KINDS[at])))
        at++;
    if (at == 6) return false;
    offtake_json *nullable = offtake_json_member(from, "nullable");
    offtake_json *labels = offtake_json_member(from, "labels");
    column->name = text_of(from, "name");
    column->kind = (offtake_kind)at;
    column->logical = text_of(from, "logical");
    column->native = text_of(from, "native");
    column->nullable = nullable && nullable->kind == OFFTAKE_JSON_TRUE;
    column->label_count = labels ? labels->count : 0;
    offtake_text *kept = offtake_keep(column->label_count * sizeof(offtake_text));
    column->labels = kept;
    for (offtake_json *label = labels ? labels->first : NULL; label; label = label->next) {
        *kept++ = label->text;
    }
    return true;
}

static offtake_told *read_schema(const offtake_json *from) {
    offtake_told *told = offtake_keep(sizeof(offtake_told));
    offtake_schema *schema = &told->schema;
    schema->told = told;
    schema->id = number_of(offtake_json_member(from, "id"));
    schema->is_message = offtake_equal(text_of(from, "subject"), offtake_of("message"));
    schema->database = text_of(from, "database");
    schema->namespace_ = text_of(from, "namespace");
    schema->table = text_of(from, "table");
    schema->version = number_of(offtake_json_member(from, "version"));
    schema->key = ordinals(offtake_json_member(from, "key"), &schema->key_count);
    schema->before_columns =
        ordinals(offtake_json_member(from, "before-columns"), &schema->before_count);
    offtake_json *columns = offtake_json_member(from, "columns");
    schema->column_count = columns ? columns->count : 0;
    offtake_column_info *kept = offtake_keep(schema->column_count * sizeof(offtake_column_info));
    schema->columns = kept;
    for (offtake_json *column = columns ? columns->first : NULL; column; column = column->next) {
        if (!read_column(column, kept++)) return NULL;
    }
    return told;
}

const offtake_schema *offtake_find_schema(uint32_t id) {
    for (offtake_told *told = first_told; told; told = told->next) {
        if (told->schema.id == id) return &told->schema;
    }
    return NULL;
}

int32_t offtake_ordinal(const offtake_schema *schema, offtake_text name) {
    for (uint32_t at = 0; at < schema->column_count; at++) {
        if (offtake_equal(schema->columns[at].name, name)) return (int32_t)at;
    }
    return -1;
}

offtake_failure offtake_refuse_column(const offtake_schema *schema, uint32_t ordinal,
                                      const char *reason) {
    const offtake_column_info *column = &schema->columns[ordinal];
    return offtake_refuse(offtake_join(schema->namespace_, offtake_of("."), schema->table,
                                       offtake_of("."), column->name, offtake_of(" has type "),
                                       column->native, offtake_of(": "), offtake_of(reason)));
}

// ---- Interests. Each list is written as JSON at once, and kinds and names are noted for verdicts.

struct offtake_interest {
    const offtake_schema *schema;
    bool subscribes;
    uint32_t wants, wanted;
    offtake_buffer columns, removed, retyped, added, outputs;
    offtake_buffer key, stream, name, form;
    // Of the columns as patches count them, and of each output's.
    offtake_buffer kinds, names, output_kinds, output_counts;
    int32_t *places;
};

static void separate(offtake_buffer *list) {
    if (list->length) offtake_json_put(list, ",");
}

void offtake_want_column(offtake_interest *interest, uint32_t ordinal) {
    interest->subscribes = true;
    if (ordinal >= interest->schema->column_count || interest->places[ordinal] >= 0) return;
    interest->places[ordinal] = (int32_t)interest->wanted++;
    separate(&interest->columns);
    offtake_json_put_u32(&interest->columns, ordinal);
}

void offtake_want_all_columns(offtake_interest *interest) {
    interest->subscribes = true;
    for (uint32_t at = 0; at < interest->schema->column_count; at++) {
        offtake_want_column(interest, at);
    }
}

void offtake_want(offtake_interest *interest, uint32_t wants) {
    interest->subscribes = true;
    interest->wants |= wants;
}

static void put_member(offtake_buffer *out, const char *name, offtake_text text) {
    offtake_json_put(out, name);
    offtake_json_put_text(out, text);
}

static void put_column(offtake_buffer *out, const offtake_column_info *info) {
    put_member(out, "{\"name\":", info->name);
    put_member(out, ",\"kind\":", offtake_of(KINDS[info->kind]));
    put_member(out, ",\"logical\":", info->logical);
    put_member(out, ",\"native\":", info->native);
    offtake_json_put(out, info->nullable ? ",\"nullable\":true,\"labels\":["
                                         : ",\"nullable\":false,\"labels\":[");
    for (uint32_t at = 0; at < info->label_count; at++) {
        if (at) offtake_json_put(out, ",");
        offtake_json_put_text(out, info->labels[at]);
    }
    offtake_json_put(out, "]}");
}

static void put_list(offtake_buffer *out, const uint32_t *numbers, uint32_t count) {
    offtake_json_put(out, "[");
    for (uint32_t at = 0; at < count; at++) {
        if (at) offtake_json_put(out, ",");
        offtake_json_put_u32(out, numbers[at]);
    }
    offtake_json_put(out, "]");
}

void offtake_remove_column(offtake_interest *interest, uint32_t ordinal) {
    separate(&interest->removed);
    offtake_json_put_u32(&interest->removed, ordinal);
}

void offtake_retype_column(offtake_interest *interest, uint32_t ordinal, offtake_column_info info) {
    if (ordinal >= interest->schema->column_count) return;
    separate(&interest->retyped);
    offtake_json_put(&interest->retyped, "[");
    offtake_json_put_u32(&interest->retyped, ordinal);
    offtake_json_put(&interest->retyped, ",");
    put_column(&interest->retyped, &info);
    offtake_json_put(&interest->retyped, "]");
    interest->kinds.data[ordinal] = (uint8_t)info.kind;
    ((offtake_text *)interest->names.data)[ordinal] = info.name;
}

uint32_t offtake_add_column(offtake_interest *interest, offtake_column_info info) {
    separate(&interest->added);
    put_column(&interest->added, &info);
    uint8_t kind = (uint8_t)info.kind;
    offtake_append(&interest->kinds, &kind, 1);
    offtake_append(&interest->names, &info.name, sizeof info.name);
    return interest->kinds.length - 1;
}

void offtake_set_key(offtake_interest *interest, const uint32_t *key, uint32_t count) {
    interest->key = (offtake_buffer){0};
    put_list(&interest->key, key, count);
}

void offtake_on_stream(offtake_interest *interest, offtake_text stream) {
    interest->stream = (offtake_buffer){0};
    offtake_json_put_text(&interest->stream, stream);
}

void offtake_set_name(offtake_interest *interest, offtake_text namespace_, offtake_text table) {
    interest->name = (offtake_buffer){0};
    offtake_json_put(&interest->name, "[");
    offtake_json_put_text(&interest->name, namespace_);
    offtake_json_put(&interest->name, ",");
    offtake_json_put_text(&interest->name, table);
    offtake_json_put(&interest->name, "]");
}

static void put_opaque(offtake_buffer *out, uint32_t payload, offtake_text content_type) {
    offtake_json_put(out, "{\"opaque\":{\"payload\":");
    offtake_json_put_u32(out, payload);
    put_member(out, ",\"content-type\":", content_type);
    offtake_json_put(out, "}}");
}

void offtake_flat(offtake_interest *interest) {
    interest->form = (offtake_buffer){0};
    offtake_json_put(&interest->form, "\"flat\"");
}

void offtake_opaque(offtake_interest *interest, uint32_t ordinal, offtake_text content_type) {
    interest->form = (offtake_buffer){0};
    put_opaque(&interest->form, ordinal, content_type);
}

uint32_t offtake_add_output(offtake_interest *interest, const offtake_output *output) {
    offtake_buffer *out = &interest->outputs;
    separate(out);
    put_member(out, "{\"name\":", output->name);
    offtake_json_put(out, ",\"columns\":[");
    for (uint32_t at = 0; at < output->column_count; at++) {
        if (at) offtake_json_put(out, ",");
        put_column(out, &output->columns[at]);
        uint8_t kind = (uint8_t)output->columns[at].kind;
        offtake_append(&interest->output_kinds, &kind, 1);
    }
    offtake_append_u32(&interest->output_counts, output->column_count);
    offtake_json_put(out, "],\"key\":");
    put_list(out, output->key, output->key_count);
    offtake_json_put(out, ",\"form\":");
    if (output->content_type.data) {
        put_opaque(out, output->payload, output->content_type);
    } else {
        offtake_json_put(out, output->flat ? "\"flat\"" : "\"envelope\"");
    }
    if (output->stream.data) put_member(out, ",\"stream\":", output->stream);
    offtake_json_put(out, "}");
    return interest->output_counts.length / 4 - 1;
}

static void put_part(offtake_buffer *out, const char *name, const offtake_buffer *part) {
    offtake_json_put(out, name);
    offtake_append(out, part->data, part->length);
}

static void put_option(offtake_buffer *out, const char *name, const offtake_buffer *part) {
    if (part->length) put_part(out, name, part);
}

static void put_interest(offtake_buffer *out, const offtake_interest *interest) {
    static const char *const WANTS[] = {"before-image", "headers", "positions", "commit-times",
                                        "transactions"};
    offtake_json_put(out, interest->subscribes ? "{\"ok\":{\"subscribe\":true"
                                               : "{\"ok\":{\"subscribe\":false");
    put_part(out, ",\"columns\":[", &interest->columns);
    offtake_json_put(out, "],\"wants\":[\"packed-text\"");
    for (uint32_t at = 0; at < 5; at++) {
        if (!(interest->wants & 1u << at)) continue;
        put_member(out, ",", offtake_of(WANTS[at]));
    }
    offtake_json_put(out, "]");
    if (interest->removed.length || interest->retyped.length || interest->added.length ||
        interest->key.length || interest->stream.length || interest->name.length) {
        put_part(out, ",\"shape\":{\"remove\":[", &interest->removed);
        put_part(out, "],\"retype\":[", &interest->retyped);
        put_part(out, "],\"add\":[", &interest->added);
        offtake_json_put(out, "]");
        put_option(out, ",\"key\":", &interest->key);
        put_option(out, ",\"stream\":", &interest->stream);
        put_option(out, ",\"name\":", &interest->name);
        offtake_json_put(out, "}");
    }
    put_option(out, ",\"form\":", &interest->form);
    put_part(out, ",\"outputs\":[", &interest->outputs);
    offtake_json_put(out, "]}}");
}

static void *kept_copy(const void *data, uint32_t size) {
    void *kept = offtake_keep(size);
    if (size) __builtin_memcpy(kept, data, size);
    return kept;
}

static void keep_told(offtake_told *told, const offtake_interest *interest) {
    told->count = interest->kinds.length;
    told->kinds = kept_copy(interest->kinds.data, interest->kinds.length);
    told->names = kept_copy(interest->names.data, interest->names.length);
    for (uint32_t at = 0; at < told->count; at++) {
        told->names[at].data = kept_copy(told->names[at].data, told->names[at].length);
    }
    told->places = interest->places;
    told->output_count = interest->output_counts.length / 4;
    told->outputs = offtake_keep(told->output_count * sizeof *told->outputs);
    const uint8_t *kinds = kept_copy(interest->output_kinds.data, interest->output_kinds.length);
    for (uint32_t at = 0; at < told->output_count; at++) {
        uint32_t count = ((const uint32_t *)interest->output_counts.data)[at];
        told->outputs[at].kinds = (uint8_t *)kinds;
        told->outputs[at].count = count;
        kinds += count;
    }
    told->next = first_told;
    first_told = told;
}

// ---- The two calls

static offtake_answer answer_of(const offtake_buffer *out) {
    return (offtake_answer){out->data, out->length};
}

static offtake_answer error_of(offtake_failure failure) {
    offtake_buffer out = {0};
    put_member(&out, "{\"error\":{\"message\":", failure.message);
    offtake_json_put(&out, failure.permanent ? ",\"permanent\":true}}" : ",\"permanent\":false}}");
    return answer_of(&out);
}

offtake_answer offtake_call_configure(const uint8_t *data, uint32_t length) {
    offtake_config *config = offtake_keep(sizeof(offtake_config));
    config->object = offtake_parse_json((offtake_text){(const char *)data, length});
    if (!config->object || config->object->kind != OFFTAKE_JSON_OBJECT) {
        return error_of(offtake_refuse(offtake_of("config: it is no table")));
    }
    offtake_info info = {.name = "unnamed", .version = "0"};
    offtake_failure failure = offtake_plugin_configure(config, &info);
    if (failure.failed) return error_of(failure);
    offtake_buffer out = {0};
    put_member(&out, "{\"ok\":{\"name\":", offtake_of(info.name));
    put_member(&out, ",\"version\":", offtake_of(info.version));
    offtake_json_put(&out, info.protects ? ",\"protects\":true" : ",\"protects\":false");
    offtake_json_put(&out, ",\"required-columns\":[");
    for (uint32_t at = 0; at < info.required_count; at++) {
        if (at) offtake_json_put(&out, ",");
        offtake_json_put_text(&out, info.required_columns[at]);
    }
    offtake_json_put(&out, info.stateful ? "],\"stateful\":true}}" : "]}}");
    return answer_of(&out);
}

offtake_answer offtake_call_on_schema(const uint8_t *data, uint32_t length) {
    offtake_json *json = offtake_parse_json((offtake_text){(const char *)data, length});
    offtake_told *told = json ? read_schema(json) : NULL;
    if (!told) return error_of(offtake_refuse(offtake_of("the schema cannot be read")));
    offtake_schema *schema = &told->schema;
    offtake_interest interest = {.schema = schema};
    interest.places = offtake_keep(schema->column_count * sizeof(int32_t));
    for (uint32_t at = 0; at < schema->column_count; at++) {
        uint8_t kind = (uint8_t)schema->columns[at].kind;
        offtake_append(&interest.kinds, &kind, 1);
        offtake_append(&interest.names, &schema->columns[at].name, sizeof(offtake_text));
        interest.places[at] = -1;
    }
    offtake_failure failure = offtake_plugin_on_schema(schema, &interest);
    if (failure.failed) return error_of(failure);
    keep_told(told, &interest);
    offtake_buffer out = {0};
    put_interest(&out, &interest);
    return answer_of(&out);
}
