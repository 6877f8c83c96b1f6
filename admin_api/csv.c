#include "admin_api/csv.h"

#include <string.h>

/* "+12125550101", "-3.5", "12": at most one sign, then digits with at most one dot. */
static bool is_number(struct view v)
{
    size_t digits = 0, dots = 0;

    for (size_t i = 0; i < v.n; i++) {
        bool sign = i == 0 && (v.p[i] == '+' || v.p[i] == '-');
        digits += is_digit((unsigned char)v.p[i]);
        dots += v.p[i] == '.';
        if (!sign && !is_digit((unsigned char)v.p[i]) && v.p[i] != '.') {
            return false;
        }
    }
    return digits > 0 && dots <= 1;
}

/* Some spreadsheets drop blanks in front. */
static bool is_formula(struct view v)
{
    size_t blanks = 0;

    while (blanks < v.n && v.p[blanks] == ' ') {
        blanks++;
    }
    return blanks < v.n && memchr("=+-@\t\r", v.p[blanks], 6) != NULL && !is_number(v);
}

static bool wants_quotes(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == ',' || v.p[i] == '"' || v.p[i] == '\r' || v.p[i] == '\n') {
            return true;
        }
    }
    return false;
}

static bool put(char c, char *dst, size_t dst_bytes, size_t *n)
{
    if (*n >= dst_bytes) {
        return false;
    }
    dst[(*n)++] = c;
    return true;
}

enum err csv_field(struct view field, bool first, char *dst, size_t dst_bytes, size_t *n)
{
    bool quotes = wants_quotes(field);
    size_t at = *n;
    bool fits = (first || put(',', dst, dst_bytes, &at)) &&
                (!quotes || put('"', dst, dst_bytes, &at)) &&
                (!is_formula(field) || put('\'', dst, dst_bytes, &at));

    for (size_t i = 0; fits && i < field.n; i++) {
        fits = (field.p[i] != '"' || put('"', dst, dst_bytes, &at)) &&
               put(field.p[i], dst, dst_bytes, &at);
    }
    if (!fits || (quotes && !put('"', dst, dst_bytes, &at))) {
        return FAIL(E_RANGE);
    }
    *n = at;
    return E_OK;
}

enum err csv_end(char *dst, size_t dst_bytes, size_t *n)
{
    size_t at = *n;

    if (!put('\r', dst, dst_bytes, &at) || !put('\n', dst, dst_bytes, &at)) {
        return FAIL(E_RANGE);
    }
    *n = at;
    return E_OK;
}
