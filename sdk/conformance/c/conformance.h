// What the conformance plugin's two files share.
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include "offtake.h"

enum action { ECHO, MASK, DROP, ADD, FAN_OUT, ROUTE, FAIL, OPERATION };

typedef struct {
    enum action action;
    offtake_text column;
    uint32_t keep_first;
    // Of route: without data where there is none.
    offtake_text stream, partition, header;
    bool whole;
} settings;

extern settings config;

// The image of a row that counts; false: it has none.
bool image_of(const offtake_batch *batch, uint32_t row, offtake_image *image);
// The column of that name in this image, if the row has a value there.
const offtake_column *value_at(const offtake_batch *batch, uint32_t row, offtake_text name);

void add(const offtake_batch *batch, offtake_verdict *verdict);
void fan_out(const offtake_batch *batch, offtake_verdict *verdict);
void route(const offtake_batch *batch, offtake_verdict *verdict);
offtake_failure fail(const offtake_batch *batch, offtake_verdict *verdict);

#endif
