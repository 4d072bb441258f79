// Records as JSON: an object of texts and numbers. Read into members first, then written, as with any
// library; the escapes are those of a quote, a backslash and `\u`.
#include "bench.h"

#define MEMBERS 64

typedef struct {
    offtake_text name, value;
    bool is_text;
} member;

typedef struct {
    const char *at, *end;
} reader;

static bool take(reader *in, char wanted) {
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\n'))
        in->at++;
    if (in->at == in->end || *in->at != wanted) return false;
    in->at++;
    return true;
}

static int32_t hexadecimal(reader *in) {
    int32_t value = 0;
    for (int at = 0; at < 4; at++, in->at++) {
        if (in->at == in->end) return -1;
        char digit = *in->at, lower = digit | 0x20;
        bool is_letter = lower >= 'a' && lower <= 'f';
        if (!is_letter && (digit < '0' || digit > '9')) return -1;
        value = value * 16 + (is_letter ? lower - 'a' + 10 : digit - '0');
    }
    return value;
}

// Without its escapes, in memory of the call.
static bool take_text(reader *in, offtake_text *text) {
    if (!take(in, '"')) return false;
    char *out = offtake_allocate((uint32_t)(in->end - in->at));
    text->data = out;
    while (in->at < in->end && *in->at != '"') {
        if (*in->at != '\\') {
            *out++ = *in->at++;
            continue;
        }
        if (in->end - in->at < 2) return false;
        char escaped = in->at[1];
        in->at += 2;
        int32_t character = escaped;
        if (escaped == 'u') character = hexadecimal(in);
        if (character < 0 || character > 0x7f) return false;
        *out++ = (char)character;
    }
    text->length = (uint32_t)(out - text->data);
    return take(in, '"');
}

static bool take_number(reader *in, offtake_text *text) {
    text->data = in->at;
    while (in->at < in->end && ((*in->at >= '0' && *in->at <= '9') || *in->at == '-'))
        in->at++;
    text->length = (uint32_t)(in->at - text->data);
    return text->length > 0;
}

static bool take_record(reader *in, member *members, uint32_t *count) {
    if (!take(in, '{')) return false;
    do {
        if (*count == MEMBERS) return false;
        member *next = &members[(*count)++];
        if (!take_text(in, &next->name) || !take(in, ':')) return false;
        next->is_text = in->at < in->end && *in->at == '"';
        if (!(next->is_text ? take_text(in, &next->value) : take_number(in, &next->value))) {
            return false;
        }
    } while (take(in, ','));
    return take(in, '}') && in->at == in->end;
}

static void put_text(offtake_cell *cell, offtake_text text) {
    offtake_write(cell, offtake_of("\""));
    uint32_t begin = 0;
    for (uint32_t at = 0; at < text.length; at++) {
        if (text.data[at] != '"' && text.data[at] != '\\') continue;
        offtake_write(cell, (offtake_text){text.data + begin, at - begin});
        offtake_write(cell, offtake_of("\\"));
        begin = at;
    }
    offtake_write(cell, (offtake_text){text.data + begin, text.length - begin});
    offtake_write(cell, offtake_of("\""));
}

bool rewrite(offtake_cell *cell, offtake_text json) {
    reader in = {json.data, json.data + json.length};
    member members[MEMBERS];
    uint32_t count = 0;
    if (!take_record(&in, members, &count)) return false;
    for (uint32_t at = 0; at < count; at++) {
        offtake_write(cell, offtake_of(at ? "," : "{"));
        put_text(cell, members[at].name);
        offtake_write(cell, offtake_of(":"));
        if (offtake_equal(members[at].name, offtake_of("email"))) {
            offtake_write(cell, offtake_of("\""));
            cover(cell, members[at].value);
            offtake_write(cell, offtake_of("\""));
        } else if (members[at].is_text) {
            put_text(cell, members[at].value);
        } else {
            offtake_write(cell, members[at].value);
        }
    }
    offtake_write(cell, offtake_of("}"));
    return true;
}
