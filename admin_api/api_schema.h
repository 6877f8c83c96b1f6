/* admin_api/api_schema.h - JSON Schema 2020-12 as far as docs/admin-api.md names it, made once into
 * a tree that is only read afterwards, and checked with JSON pointers to what is wrong.
 *
 * Known      type (also a list), properties, required, additionalProperties (false or absent),
 * enum, const, pattern (POSIX ERE), minLength, maxLength (characters), minimum, maximum, items,
 * minItems, maxItems, uniqueItems, oneOf, allOf, format, readOnly, $ref to
 * #/components/schemas/NAME. A number with a fraction, even ".0", is no integer. Errors     E_PARSE
 * with `why`: what is not known or makes no sense. Threads    checking: any. */
#ifndef ADMIN_API_API_SCHEMA_H
#define ADMIN_API_API_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct schema;
struct schemas; /* all of one document */

/* document: the whole OpenAPI document; it must outlive the schemas. */
MUST_CHECK enum err schemas_new(const json_t *document, struct schemas **out);
void schemas_free(struct schemas *s);
MUST_CHECK enum err schemas_add(struct schemas *s, const json_t *schema, const struct schema **out,
                                char *why, size_t why_bytes);

/* SCHEMA_ANSWER: what we send. SCHEMA_WHOLE: what a request makes (readOnly fields must not be
 * there and are not required). SCHEMA_PATCH: a merge patch: nothing is required, except within
 * lists. SCHEMA_MERGED: a resource after the patch: all is required; fields that the patch could
 * not have are those of the resource. */
enum schema_mode { SCHEMA_ANSWER, SCHEMA_WHOLE, SCHEMA_PATCH, SCHEMA_MERGED };

#define SCHEMA_ERRORS_MAX  16
#define SCHEMA_POINTER_MAX 192
struct schema_errors {
    size_t n;
    struct {
        char pointer[SCHEMA_POINTER_MAX]; /* RFC 6901 */
        char detail[192];
    } e[SCHEMA_ERRORS_MAX];
};
/* True: valid. Else at least one error is added (as long as there is room). */
bool schema_check(const struct schema *s, const json_t *v, enum schema_mode mode,
                  struct schema_errors *out);
/* A text from a path or a query as the schema's type wants it (integer, boolean, string), or NULL:
 * it is none such. */
json_t *schema_value_of_text(const struct schema *s, const char *text);

#endif
