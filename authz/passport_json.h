/* authz/passport_json.h - a strict reader of JSON (RFC 8259) for the two objects of a token: the
 * caller says which members it wants, everything else is passed over, nothing is kept.
 *
 * Bounds     depth, values in all, members of one object and octets of a name; a name twice in one
 *            object is refused (RFC 8225 section 9), and so is text that is not UTF-8.
 * Errors     E_PARSE, E_RANGE; the first one leaves its reason in why, a literal.
 * Threads    safe; no heap. */
#ifndef AUTHZ_PASSPORT_JSON_H
#define AUTHZ_PASSPORT_JSON_H

#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum {
    JSON_DEPTH_MAX = 6,
    JSON_VALUES_MAX = 128,
    JSON_MEMBERS_MAX = 24,
    JSON_NAME_MAX = 32 /* with NUL */
};

struct json {
    const char *at, *end;
    unsigned depth, values;
    const char *why;
};

/* Has to read exactly one value: pjson_text(), pjson_number(), pjson_object(), pjson_array() or
 * pjson_skip(). */
typedef enum err pjson_member_fn(struct json *j, const char *name, void *ctx);
typedef enum err pjson_element_fn(struct json *j, void *ctx);

struct json pjson_over(struct view text);
enum err pjson_bad(struct json *j, const char *why); /* E_PARSE */
MUST_CHECK enum err pjson_object(struct json *j, pjson_member_fn *member, void *ctx);
MUST_CHECK enum err pjson_array(struct json *j, pjson_element_fn *element, void *ctx);
/* Unescaped, with NUL; E_RANGE: longer. dst NULL: passed over. */
MUST_CHECK enum err pjson_text(struct json *j, char *dst, size_t dst_bytes);
/* A whole number without sign, fraction and exponent. E_RANGE: above max. */
MUST_CHECK enum err pjson_number(struct json *j, uint64_t max, uint64_t *out);
MUST_CHECK enum err pjson_skip(struct json *j);
MUST_CHECK enum err pjson_end(struct json *j); /* E_PARSE: something follows */

#endif
