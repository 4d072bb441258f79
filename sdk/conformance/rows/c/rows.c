// A plugin row by row in C; ../README.md says what it does.
#include "offtake.h"

static offtake_text email;

offtake_failure offtake_plugin_configure(offtake_config *config, offtake_info *info) {
    email = offtake_of("email");
    info->name = "rows";
    info->version = "1.0.0";
    info->protects = true;
    info->required_columns = &email;
    info->required_count = 1;
    return offtake_config_finish(config);
}

offtake_failure offtake_plugin_on_schema(offtake_schema *schema, offtake_interest *interest) {
    static const char *const NAMES[] = {"id", "email", "status"};
    for (int at = 0; at < 3; at++) {
        if (offtake_ordinal(schema, offtake_of(NAMES[at])) < 0) return OFFTAKE_OK;
    }
    offtake_want_all_columns(interest);
    offtake_want(interest, OFFTAKE_WANT_BEFORE_IMAGE);
    offtake_column_info columns[] = {offtake_new_column("id", "int8"),
                                     offtake_new_column("what", "text")};
    columns[0].nullable = false;
    const uint32_t key[] = {0};
    offtake_output seen = {.name = offtake_of("seen"),
                           .columns = columns,
                           .column_count = 2,
                           .key = key,
                           .key_count = 1,
                           .stream = offtake_of("seen")};
    offtake_add_output(interest, &seen);
    return OFFTAKE_OK;
}

static void drop_or_emit(const offtake_row *row) {
    offtake_text status;
    if (offtake_get_text(row, "status", &status) == OFFTAKE_VALUE &&
        offtake_equal(status, offtake_of("internal"))) {
        offtake_drop(row->verdict, row->row);
        return;
    }
    int64_t id;
    if (offtake_get_int64(row, "id", &id) != OFFTAKE_VALUE) return;
    offtake_emission *seen = offtake_emit(row->verdict, 0, row->row, 'c');
    offtake_set_int64(offtake_emitted(seen, OFFTAKE_AFTER, 0), id);
    offtake_set_text(offtake_emitted(seen, OFFTAKE_AFTER, 1), (offtake_text){&row->operation, 1});
}

offtake_failure offtake_plugin_process(const offtake_batch *batch, offtake_verdict *verdict) {
    offtake_row row = offtake_first(batch, verdict);
    do {
        offtake_text value;
        if (offtake_get_text(&row, "email", &value) == OFFTAKE_VALUE) {
            offtake_set_text(offtake_put(&row, "email"), offtake_of("***"));
        }
    } while (offtake_next(&row));
    row = offtake_first_newest(batch, verdict);
    do {
        drop_or_emit(&row);
    } while (offtake_next(&row));
    return OFFTAKE_OK;
}
