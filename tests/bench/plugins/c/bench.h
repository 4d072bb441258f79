// What the parts of the benchmark's plugin in C share.
#pragma once
#include "offtake.h"

// Writes a text with every character but the first covered.
void cover(offtake_cell *cell, offtake_text text);

// Reads a record, writes it again with the member `email` covered. False: it is no record.
bool rewrite(offtake_cell *cell, offtake_text json);
