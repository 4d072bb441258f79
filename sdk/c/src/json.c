// A small JSON reader into memory that stays, and what writes JSON. Texts without escapes are not
// copied on their own: the whole input is, once. No pretty errors: the gateway wrote what is read.
#include "internal.h"

#define DEPTH 64

typedef struct {
    const char *at, *end;
} reader;

static void skip_space(reader *in) {
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\n' || *in->at == '\r' || *in->at == '\t')) {
        in->at++;
    }
}

static bool take(reader *in, char wanted) {
    skip_space(in);
    if (in->at == in->end || *in->at != wanted) return false;
    in->at++;
    return true;
}

static bool take_word(reader *in, const char *word) {
    uint32_t length = (uint32_t)__builtin_strlen(word);
    if ((size_t)(in->end - in->at) < length) return false;
    if (!offtake_equal((offtake_text){in->at, length}, offtake_of(word))) return false;
    in->at += length;
    return true;
}

static int32_t hex4(reader *in) {
    if (in->end - in->at < 4) return -1;
    int32_t value = 0;
    for (int at = 0; at < 4; at++) {
        char digit = *in->at++;
        char lower = digit | 0x20;
        if (digit >= '0' && digit <= '9') {
            value = value * 16 + (digit - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            value = value * 16 + (lower - 'a' + 10);
        } else {
            return -1;
        }
    }
    return value;
}

static uint32_t put_utf8(char *out, uint32_t scalar) {
    if (scalar < 0x80) {
        out[0] = (char)scalar;
        return 1;
    }
    uint32_t length = scalar < 0x800 ? 2 : scalar < 0x10000 ? 3 : 4;
    for (uint32_t at = length - 1; at > 0; at--) {
        out[at] = (char)(0x80 | (scalar & 0x3f));
        scalar >>= 6;
    }
    out[0] = (char)((0xf00 >> length) | scalar);
    return length;
}

// The scalar value after `\u`, its second half included; -1: there is none.
static int32_t escaped_scalar(reader *in) {
    int32_t value = hex4(in);
    if (value < 0xd800 || value > 0xdfff) return value;
    if (value > 0xdbff || !take_word(in, "\\u")) return -1;
    int32_t low = hex4(in);
    if (low < 0xdc00 || low > 0xdfff) return -1;
    return 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00);
}

static bool parse_text(reader *in, offtake_text *text) {
    if (!take(in, '"')) return false;
    const char *begin = in->at;
    while (in->at < in->end && *in->at != '"' && *in->at != '\\')
        in->at++;
    if (in->at == in->end) return false;
    if (*in->at == '"') {
        *text = (offtake_text){begin, (uint32_t)(in->at++ - begin)};
        return true;
    }
    // Unescaped, a text is never longer.
    const char *closing = in->at;
    while (closing < in->end && *closing != '"')
        closing += *closing == '\\' ? 2 : 1;
    if (closing >= in->end) return false;
    char *out = offtake_keep((uint32_t)(closing - begin));
    uint32_t length = (uint32_t)(in->at - begin);
    __builtin_memcpy(out, begin, length);
    while (in->at < closing) {
        char next = *in->at++;
        if (next != '\\') {
            out[length++] = next;
            continue;
        }
        next = *in->at++;
        const char *from = "\"\\/bfnrt", *to = "\"\\/\b\f\n\r\t";
        while (*from && *from != next)
            from++, to++;
        if (*from) {
            out[length++] = *to;
        } else {
            int32_t scalar = next == 'u' ? escaped_scalar(in) : -1;
            if (scalar < 0) return false;
            length += put_utf8(out + length, (uint32_t)scalar);
        }
    }
    in->at = closing + 1;
    *text = (offtake_text){out, length};
    return true;
}

static bool is_number(char byte) {
    return (byte >= '0' && byte <= '9') || byte == '-' || byte == '+' || byte == '.' ||
           byte == 'e' || byte == 'E';
}

static offtake_json *parse_value(reader *in, int depth);

static bool parse_children(reader *in, offtake_json *parent, char closing, int depth) {
    offtake_json **last = &parent->first;
    if (take(in, closing)) return true;
    do {
        offtake_text name = {0};
        if (closing == '}' && (!parse_text(in, &name) || !take(in, ':'))) return false;
        offtake_json *child = parse_value(in, depth + 1);
        if (!child) return false;
        child->name = name;
        *last = child;
        last = &child->next;
        parent->count++;
        skip_space(in);
    } while (take(in, ','));
    return take(in, closing);
}

static offtake_json *parse_value(reader *in, int depth) {
    skip_space(in);
    if (in->at == in->end || depth > DEPTH) return NULL;
    offtake_json *value = offtake_keep(sizeof(offtake_json));
    char first = *in->at;
    if (first == '{' || first == '[') {
        in->at++;
        value->kind = first == '{' ? OFFTAKE_JSON_OBJECT : OFFTAKE_JSON_LIST;
        return parse_children(in, value, first == '{' ? '}' : ']', depth) ? value : NULL;
    }
    if (first == '"') {
        value->kind = OFFTAKE_JSON_TEXT;
        return parse_text(in, &value->text) ? value : NULL;
    }
    if (take_word(in, "null")) return value;
    if (take_word(in, "true") || take_word(in, "false")) {
        value->kind = first == 't' ? OFFTAKE_JSON_TRUE : OFFTAKE_JSON_FALSE;
        return value;
    }
    const char *begin = in->at;
    while (in->at < in->end && is_number(*in->at))
        in->at++;
    value->kind = OFFTAKE_JSON_NUMBER;
    value->text = (offtake_text){begin, (uint32_t)(in->at - begin)};
    return value->text.length ? value : NULL;
}

offtake_json *offtake_parse_json(offtake_text text) {
    // A copy that stays: texts point into it.
    char *copy = offtake_keep(text.length);
    if (text.length) __builtin_memcpy(copy, text.data, text.length);
    reader in = {copy, copy + text.length};
    offtake_json *value = parse_value(&in, 0);
    skip_space(&in);
    return in.at == in.end ? value : NULL;
}

offtake_json *offtake_json_member(const offtake_json *object, const char *name) {
    if (!object || object->kind != OFFTAKE_JSON_OBJECT) return NULL;
    for (offtake_json *member = object->first; member; member = member->next) {
        if (offtake_equal(member->name, offtake_of(name))) return member;
    }
    return NULL;
}

bool offtake_json_int64(const offtake_json *number, int64_t *value) {
    if (!number || number->kind != OFFTAKE_JSON_NUMBER) return false;
    offtake_text text = number->text;
    bool negative = text.data[0] == '-';
    uint32_t at = negative ? 1 : 0;
    if (at == text.length) return false;
    int64_t result = 0; // counted below zero, where there is one more
    for (; at < text.length; at++) {
        char digit = text.data[at];
        if (digit < '0' || digit > '9') return false;
        if (result < INT64_MIN / 10) return false;
        result *= 10;
        if (result < INT64_MIN + (digit - '0')) return false;
        result -= digit - '0';
    }
    if (!negative && result == INT64_MIN) return false;
    *value = negative ? result : -result;
    return true;
}

void offtake_json_put(offtake_buffer *out, const char *piece) {
    offtake_append(out, piece, (uint32_t)__builtin_strlen(piece));
}

void offtake_json_put_u32(offtake_buffer *out, uint32_t number) {
    char digits[20];
    offtake_text text = offtake_digits(digits, number);
    offtake_append(out, text.data, text.length);
}

void offtake_json_put_text(offtake_buffer *out, offtake_text text) {
    const char *hex = "0123456789abcdef";
    offtake_json_put(out, "\"");
    for (uint32_t at = 0; at < text.length; at++) {
        uint8_t byte = (uint8_t)text.data[at];
        if (byte == '"' || byte == '\\') offtake_json_put(out, "\\");
        if (byte < 0x20) {
            char escaped[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
            offtake_append(out, escaped, 6);
        } else {
            offtake_append(out, &byte, 1);
        }
    }
    offtake_json_put(out, "\"");
}
