// A plugin to begin with: covers one text column but for its first characters.
//
// Configuration: { column = "email", keep_first = 1 }.
#include "offtake.h"

static offtake_text column_name;
static uint32_t keep_first;

// Once, at the start. What is refused here is shown by `offtake check`.
offtake_failure offtake_plugin_configure(offtake_config *config, offtake_info *info) {
    column_name = offtake_config_text(config, "column");
    int64_t keep = offtake_config_int64_or(config, "keep_first", 0);
    if (keep < 0 || keep > UINT32_MAX) {
        return offtake_refuse(offtake_of("config: `keep_first` is no count of characters"));
    }
    keep_first = (uint32_t)keep;
    info->name = "mask";
    info->version = "1.0.0";
    // Without it the gateway would not know that a failure must let nothing pass.
    info->protects = true;
    info->required_columns = &column_name;
    info->required_count = 1;
    return offtake_config_finish(config); // refuses a mistake above, and keys that nobody asked for
}

// Once a table: which columns the plugin wants to see.
offtake_failure offtake_plugin_on_schema(offtake_schema *schema, offtake_interest *interest) {
    int32_t ordinal = offtake_ordinal(schema, column_name);
    if (ordinal < 0) return OFFTAKE_OK;
    if (!offtake_is_free_text(&schema->columns[ordinal])) {
        return offtake_refuse_column(schema, (uint32_t)ordinal, "mask works on text columns only");
    }
    offtake_want_column(interest, (uint32_t)ordinal);
    offtake_want(interest, OFFTAKE_WANT_BEFORE_IMAGE);
    return OFFTAKE_OK;
}

// Keeps the first characters and writes `*` for each further one. A text that is no longer than
// what is kept is covered whole.
static void cover(offtake_cell *cell, offtake_text text) {
    uint32_t at = 0, kept = 0, characters = 0;
    for (; at < text.length; characters++) {
        if (characters == keep_first) kept = at;
        at += offtake_character_length(text.data[at]);
    }
    uint32_t readable = characters > keep_first ? keep_first : 0;
    offtake_write(cell, (offtake_text){text.data, kept});
    offtake_write_repeated(cell, '*', characters - readable);
}

// For up to 256 changes at a time: what becomes of them. What is not mentioned passes.
offtake_failure offtake_plugin_process(const offtake_batch *batch, offtake_verdict *verdict) {
    uint32_t ordinal = (uint32_t)offtake_ordinal(batch->schema, column_name);
    for (offtake_image image = OFFTAKE_BEFORE; image <= OFFTAKE_AFTER; image++) {
        const offtake_column *column = offtake_column_of(batch, image, ordinal);
        if (!column) continue;
        for (uint32_t row = 0; row < batch->rows; row++) {
            if (offtake_presence_at(column, row) != OFFTAKE_VALUE) continue;
            cover(offtake_patch(verdict, image, ordinal, row), offtake_text_at(column, row));
        }
    }
    return OFFTAKE_OK;
}
