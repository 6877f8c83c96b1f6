/* Finding the name costs a look at every fourth octet; nearly no message holds it. */
#include "base/laes.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/view.h"

enum { WORD_N = 4 }; /* of "laes" */

/* How far the octet at the end of a window lets the window go on; 0: it may be the word's last. */
static size_t step_of(char c)
{
    switch (c) {
    case 's':
    case 'S':
        return 0;
    case 'e':
    case 'E':
        return 1;
    case 'a':
    case 'A':
        return 2;
    case 'l':
    case 'L':
        return 3;
    default:
        return WORD_N;
    }
}

/* Where "laes" begins, at `at` or behind it; n: nowhere. */
static size_t find_word(const char *p, size_t at, size_t n)
{
    for (size_t end = at + WORD_N - 1; end < n;) {
        size_t step = step_of(p[end]);
        if (step > 0) {
            end += step;
        } else if (view_eq_nocase(view_from(p + end + 1 - WORD_N, WORD_N), VIEW("laes"))) {
            return end + 1 - WORD_N;
        } else {
            end++;
        }
    }
    return n;
}

/* Steps back over that word, if it stands before `at`; a '-' in it may be escaped. */
static bool steps_back(const char *p, size_t *at, struct view word)
{
    size_t from = *at;

    for (size_t i = word.n; i > 0; i--) {
        bool is_dash = word.p[i - 1] == '-';
        struct view one = view_from(word.p + i - 1, 1);
        if (from >= 1 && view_eq_nocase(view_from(p + from - 1, 1), one)) {
            from--;
        } else if (is_dash && from >= 3 &&
                   view_eq_nocase(view_from(p + from - 3, 3), VIEW("%2d"))) {
            from -= 3;
        } else {
            return false;
        }
    }
    *at = from;
    return true;
}

static bool ends_line(char c)
{
    return c == '\r' || c == '\n';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Behind the line's end; a fold belongs to its line. */
static size_t behind_header(const char *p, size_t at, size_t n)
{
    while (at < n) {
        if (!ends_line(p[at])) {
            at++;
            continue;
        }
        at += p[at] == '\r' && at + 1 < n && p[at + 1] == '\n' ? 2 : 1;
        if (at >= n || !is_blank(p[at])) {
            break;
        }
    }
    return at;
}

static bool ends_pair(char c)
{
    return c == '&' || c == '>' || c == '"' || c == ',' || is_blank(c) || ends_line(c);
}

/* What goes when the name is at name..behind: from, to (p[from..to)). False: it is another thing.
 */
static bool extent(const char *p, size_t n, size_t name, size_t behind, size_t *from, size_t *to)
{
    size_t at = behind;

    if (name == 0 || ends_line(p[name - 1])) {
        while (at < n && is_blank(p[at])) {
            at++;
        }
        *from = name;
        *to = at < n && p[at] == ':' ? behind_header(p, at, n) : name;
        return *to > name;
    }
    if ((p[name - 1] != '?' && p[name - 1] != '&') || at >= n || p[at] != '=') {
        return false;
    }
    while (at < n && !ends_pair(p[at])) {
        at++;
    }
    /* With the '&' behind it, else with what is before it. */
    *from = at < n && p[at] == '&' ? name : name - 1;
    *to = at < n && p[at] == '&' ? at + 1 : at;
    return true;
}

/* Where the body begins; n: the head is all. */
static size_t body_at(const char *p, size_t n)
{
    for (const char *nl = p; (nl = memchr(nl, '\n', n - (size_t)(nl - p))) != NULL; nl++) {
        size_t at = (size_t)(nl - p) + 1;
        if (at < n && p[at] == '\n') {
            return at + 1;
        }
        if (at + 1 < n && p[at] == '\r' && p[at + 1] == '\n') {
            return at + 2;
        }
    }
    return n;
}

static void star_out(char *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (!ends_line(p[i])) {
            p[i] = '*';
        }
    }
}

size_t laes_cut(char *p, size_t n)
{
    size_t at = 0, body = 0, from = 0, to = 0;

    while ((at = find_word(p, at, n)) < n) {
        size_t name = at, behind = at + WORD_N;
        body = body == 0 ? body_at(p, n) : body;
        at = behind;
        if (!steps_back(p, &name, VIEW("dcs-"))) {
            continue;
        }
        (void)steps_back(p, &name, VIEW("p-"));
        if (!extent(p, n, name, behind, &from, &to)) {
            continue;
        }
        if (from >= body) {
            star_out(p, behind, to);
            continue;
        }
        memmove(p + from, p + to, n - to);
        n -= to - from;
        body -= to - from;
        at = from;
    }
    return n;
}
