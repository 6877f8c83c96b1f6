/* base/view.h - counted octets that belong to somebody else, and a cursor that reads them.
 *
 * Shape      a view is (pointer, octet count); it need not end in NUL and may hold any octet.
 * Ownership  a view borrows: whoever hands it out says what buffer it points into.
 * Errors     cur_* return E_PARSE (syntax) or E_RANGE (limit) and then leave cursor and outputs as
 *            they were. Threads: safe, no shared state. */
#ifndef BASE_VIEW_H
#define BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct view {
    const char *p;
    size_t n;
};

#define VIEW(literal) ((struct view){"" literal, sizeof(literal) - 1})

struct view view_of(const char *cstr); /* NULL gives the empty view */
struct view view_from(const void *p, size_t n);
bool view_eq(struct view a, struct view b);
bool view_eq_nocase(struct view a, struct view b); /* ASCII case only */
bool view_starts(struct view v, struct view prefix);
bool view_starts_nocase(struct view v, struct view prefix);
struct view view_trim(struct view v);                       /* drops SP and HTAB at both ends */
struct view view_sub(struct view v, size_t from, size_t n); /* clamped to v */
bool view_find(struct view v, char c, size_t *out_at);
/* Copies into dst as a C string. E_RANGE: too long, or v holds a NUL. */
MUST_CHECK enum err view_to_cstr(struct view v, char *dst, size_t dst_bytes);
/* Whole view is a decimal number without sign, <= max. */
MUST_CHECK enum err view_to_u64(struct view v, uint64_t max, uint64_t *out);

/* Lower-case hex; dst must hold 2 * n + 1 octets. Reading takes either case, exactly n octets. */
void hex_put(const void *src, size_t n, char *dst);
MUST_CHECK enum err hex_get(struct view hex, void *dst, size_t n);

struct cursor {
    const char *at, *end;
};

struct cursor cursor_over(struct view v);
bool cur_done(const struct cursor *c);
struct view cur_rest(const struct cursor *c);
MUST_CHECK enum err cur_lit(struct cursor *c, struct view literal);
MUST_CHECK enum err cur_lit_nocase(struct cursor *c, struct view literal);
/* 1..max octets of RFC 3261 token. */
MUST_CHECK enum err cur_token(struct cursor *c, size_t max, struct view *out);
MUST_CHECK enum err cur_u64(struct cursor *c, uint64_t max, uint64_t *out);
/* 2 * n hex digits; E_PARSE when fewer. */
MUST_CHECK enum err cur_hex(struct cursor *c, void *dst, size_t n);
/* Everything up to (not including) the first `stop`; the stop is consumed. E_PARSE: no stop. */
MUST_CHECK enum err cur_until(struct cursor *c, char stop, struct view *out);
void cur_space(struct cursor *c); /* skips SP and HTAB */

bool is_token_char(unsigned char c); /* RFC 3261 section 25.1 token */
bool is_digit(unsigned char c);

#endif
