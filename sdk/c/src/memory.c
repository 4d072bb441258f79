// Memory without a C library: two arenas, one that is emptied before each call and one that stays,
// and the buffers that grow in the first. Not thread safe; an instance has one thread.
#include "internal.h"

// An arena is a list of blocks, each at least as large as all before it together, so that what is
// lost at their ends stays a fraction of what is used.
typedef struct block {
    struct block *next;
    uint32_t size;
    uint32_t unused;
} block;

typedef struct {
    block *first, *current;
    uint32_t used; // of the current block
    uint32_t total;
} arena;

static arena call_arena, kept_arena;

#define PAGE_BYTES (64u * 1024)
#define LIMIT (1u << 30)
#define HEAD_BYTES ((uint32_t)(sizeof(block) + 7) & ~7u)

#ifdef __wasm__
// Whole new pages: a C library that a plugin may bring keeps what the linker left of the first
// ones.
static block *new_block(uint32_t size) {
    size_t before = __builtin_wasm_memory_grow(0, (size + PAGE_BYTES - 1) / PAGE_BYTES);
    return before == (size_t)-1 ? NULL : (block *)(before * PAGE_BYTES);
}

// What compilers call of themselves. A C library that is linked takes their place.
#define WEAK __attribute__((weak))
WEAK void *memcpy(void *to, const void *from, size_t size) {
    return __builtin_memcpy(to, from, size);
}
WEAK void *memmove(void *to, const void *from, size_t size) {
    return __builtin_memmove(to, from, size);
}
WEAK void *memset(void *to, int value, size_t size) { return __builtin_memset(to, value, size); }
WEAK __attribute__((no_builtin)) size_t strlen(const char *string) {
    const char *end = string;
    while (*end)
        end++;
    return (size_t)(end - string);
}
#else
#include <stdlib.h>
static block *new_block(uint32_t size) { return malloc(size); }
#endif

static uint32_t in_pages(uint32_t size) { return (size + PAGE_BYTES - 1) & -PAGE_BYTES; }

static void *take(arena *from, uint32_t size) {
    if (size > LIMIT) return NULL;
    size = (size + 7) & ~7u;
    while (!from->current || from->current->size - from->used < size) {
        block *next = from->current ? from->current->next : from->first;
        if (!next) {
            uint32_t need = size + HEAD_BYTES;
            uint32_t bytes = in_pages(from->total > need ? from->total : need);
            next = new_block(bytes);
            if (!next) next = new_block(bytes = in_pages(need));
            if (!next) return NULL;
            *next = (block){.size = bytes};
            from->total += bytes;
            if (from->current) {
                from->current->next = next;
            } else {
                from->first = next;
            }
        }
        from->current = next;
        from->used = HEAD_BYTES;
    }
    uint8_t *taken = (uint8_t *)from->current + from->used;
    from->used += size;
    return taken;
}

void offtake_begin_call(void) { call_arena.current = NULL; }

void *offtake_try_allocate(uint32_t size) { return take(&call_arena, size); }

static void *zeroed(arena *from, uint32_t size) {
    void *taken = take(from, size);
    if (!taken) __builtin_trap();
    return __builtin_memset(taken, 0, size);
}

void *offtake_allocate(uint32_t size) { return zeroed(&call_arena, size); }

void *offtake_keep(uint32_t size) { return zeroed(&kept_arena, size); }

static void grow(offtake_buffer *buffer, uint32_t size) {
    uint64_t need = (uint64_t)buffer->length + size;
    if (need > LIMIT) __builtin_trap();
    uint32_t capacity = buffer->capacity ? buffer->capacity : 256;
    while (capacity < need)
        capacity *= 2;
    // The last buffer of the arena grows where it is.
    arena *from = &call_arena;
    uint8_t *end = from->current ? (uint8_t *)from->current + from->used : NULL;
    uint32_t more = capacity - buffer->capacity;
    if (buffer->data && buffer->data + buffer->capacity == end &&
        from->current->size - from->used >= more) {
        from->used += more;
    } else {
        uint8_t *data = take(from, capacity);
        if (!data) __builtin_trap();
        if (buffer->length) __builtin_memcpy(data, buffer->data, buffer->length);
        buffer->data = data;
    }
    buffer->capacity = capacity;
}

uint8_t *offtake_extend(offtake_buffer *buffer, uint32_t size) {
    if (buffer->capacity - buffer->length < size) grow(buffer, size);
    uint8_t *at = buffer->data + buffer->length;
    buffer->length += size;
    return at;
}

void offtake_append(offtake_buffer *buffer, const void *data, uint32_t size) {
    if (size) __builtin_memcpy(offtake_extend(buffer, size), data, size);
}

void offtake_append_u32(offtake_buffer *buffer, uint32_t value) {
    __builtin_memcpy(offtake_extend(buffer, 4), &value, 4);
}

void offtake_pad(offtake_buffer *buffer, uint32_t alignment) {
    uint32_t size = -buffer->length & (alignment - 1);
    if (size) __builtin_memset(offtake_extend(buffer, size), 0, size);
}

void offtake_append_text(offtake_buffer *buffer, offtake_text text) {
    offtake_append_u32(buffer, text.length);
    offtake_append(buffer, text.data, text.length);
    offtake_pad(buffer, 4);
}

bool offtake_equal(offtake_text a, offtake_text b) {
    if (a.length != b.length) return false;
    for (uint32_t at = 0; at < a.length; at++) {
        if (a.data[at] != b.data[at]) return false;
    }
    return true;
}

offtake_text offtake_join_parts(const offtake_text *parts, uint32_t count) {
    offtake_buffer joined = {0};
    for (uint32_t at = 0; at < count; at++) {
        offtake_append(&joined, parts[at].data, parts[at].length);
    }
    return (offtake_text){(const char *)joined.data, joined.length};
}

offtake_text offtake_digits(char digits[20], uint64_t number) {
    uint32_t at = 20;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return (offtake_text){digits + at, 20 - at};
}
