#include "lawful_intercept/order.h"

#include <string.h>

#include "lawful_intercept/message.h"

bool li_order_runs(const struct li_order *o, uint64_t at_us)
{
    return at_us >= o->starts_us && at_us < o->ends_us;
}

bool li_order_is_of(const struct li_order *o, uint64_t line, struct view number, struct view uri)
{
    if (o->line != 0 || line != 0) {
        return o->line == line;
    }
    return (o->number[0] != 0 && view_eq(number, view_of(o->number))) ||
           (o->uri[0] != 0 && view_eq(uri, view_of(o->uri)));
}

const struct li_order *li_order_find(const struct li_orders *all, uint64_t id)
{
    for (size_t i = 0; i < all->n; i++) {
        if (all->v[i].id == id) {
            return &all->v[i];
        }
    }
    return NULL;
}

/* ---- addresses ---------------------------------------------------------------------------------
 */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_one_of(char c, const char *more)
{
    char l = lower(c);

    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || (c != 0 && strchr(more, c) != NULL);
}

/* How long the host at the front is: a name, an IPv4 address, or [IPv6]. */
static size_t host_length(struct view v)
{
    size_t n = 0;

    if (v.n > 0 && v.p[0] == '[') {
        return view_find(v, ']', &n) ? n + 1 : 0;
    }
    while (n < v.n && is_one_of(v.p[n], "-.")) {
        n++;
    }
    return n;
}

bool li_uri_read(struct view text, char out[LI_URI_MAX])
{
    size_t at = 0, n = 0, host = 0;

    out[0] = 0;
    if (li_find_bare(text, '<', &at)) {
        text = view_sub(text, at + 1, text.n);
    }
    if (view_starts_nocase(text, VIEW("sips:"))) {
        text = view_sub(text, 5, text.n);
    } else if (view_starts_nocase(text, VIEW("sip:"))) {
        text = view_sub(text, 4, text.n);
    } else {
        return false;
    }
    while (n < text.n && is_one_of(text.p[n], "-._~+%=")) {
        n++;
    }
    if (n == 0 || n == text.n || text.p[n] != '@') {
        return false;
    }
    host = host_length(view_sub(text, n + 1, text.n));
    at = n + 1 + host; /* what follows is a port, parameters, headers, or nothing */
    if (host == 0 || at >= LI_URI_MAX || (at < text.n && strchr(":;?> ", text.p[at]) == NULL)) {
        return false;
    }
    for (size_t i = 0; i < at; i++) {
        out[i] = i > n ? lower(text.p[i]) : text.p[i];
    }
    out[at] = 0;
    return true;
}

struct view li_uri_number(struct view uri)
{
    size_t n = 1;

    while (n < uri.n && uri.p[n] >= '0' && uri.p[n] <= '9') {
        n++;
    }
    return uri.n > 0 && uri.p[0] == '+' && n >= 8 && n <= 16 && n < uri.n && uri.p[n] == '@'
               ? view_sub(uri, 0, n)
               : VIEW("");
}
