#ifndef CSIMDJSON_H
#define CSIMDJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// simdjson (C++) as C, as much of it as request bodies need: parse a text, walk its values. Nothing throws.
// Values point into the parser's memory and are valid until it parses another text or is destroyed.

#ifdef __cplusplus
extern "C" {
#endif

/// A parser and the memory of the text it parsed last.
typedef struct csimdjson_parser csimdjson_parser;

/// One value of the parsed text: simdjson's own reference, by value.
typedef struct {
    const void *document;
    size_t index;
} csimdjson_value;

/// A walk over the elements of an array or the members of an object.
typedef struct {
    csimdjson_value at;
    csimdjson_value end;
    bool is_object;
} csimdjson_walk;

/// NULL without memory.
csimdjson_parser *csimdjson_create(void);
void csimdjson_destroy(csimdjson_parser *parser);

/// True with the root of the text, which must be JSON (RFC 8259) in UTF-8 and nothing else. The text is copied. Else false
/// with a message that stays where it is.
bool csimdjson_parse(csimdjson_parser *parser, const char *text, size_t byte_count, csimdjson_value *root,
                     const char **message);

bool csimdjson_is_null(csimdjson_value value);
bool csimdjson_is_object(csimdjson_value value);
bool csimdjson_is_array(csimdjson_value value);
/// True for a string: its bytes, unescaped, not terminated.
bool csimdjson_string(csimdjson_value value, const char **start, size_t *byte_count);
/// True for an integer from 0 to 2^64 - 1; above 2^53 it must be written without point and exponent.
bool csimdjson_unsigned(csimdjson_value value, uint64_t *number);

/// Begins a walk over an array or an object; an empty one over anything else.
csimdjson_walk csimdjson_begin(csimdjson_value value);
/// False at the end; else the next value, and for a member its name, unescaped.
bool csimdjson_next(csimdjson_walk *walk, csimdjson_value *value, const char **name, size_t *name_byte_count);

#ifdef __cplusplus
}
#endif

#endif
