/* Dial plan: one pass over the digits, rules in the order in which they are tried. */
#include "routing/dialplan.h"

#include <string.h>

#define E164_DIGITS_MIN 7
#define E164_DIGITS_MAX 15
#define DIALLED_MAX     256 /* nothing longer is a number or a service URN */
#define SOS             "urn:service:sos"

static bool all_digits(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (!is_digit((unsigned char)v.p[i])) {
            return false;
        }
    }
    return v.n > 0;
}

static struct view rest_after(struct view v, size_t n)
{
    return view_sub(v, n, v.n);
}

static struct dialled result(enum dial_class class, struct view text)
{
    struct dialled d = {.class = class};
    if (text.n < sizeof d.e164) {
        memcpy(d.e164, text.p, text.n);
    }
    return d;
}

/* What no rule knows is kept for the log when it is a plain key sequence, and dropped otherwise. */
static struct dialled invalid(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (!is_digit(c) && c != '+' && c != '*' && c != '#') {
            return result(DIAL_INVALID, VIEW(""));
        }
    }
    return result(DIAL_INVALID, v.n > 0 ? v : VIEW(""));
}

/* ---- emergency and provisioning codes ---- */

static bool is_label_char(unsigned char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

/* The sub-services after "sos": ".police", ".ecall.manual". */
static bool sub_services_ok(struct view v)
{
    bool label = true; /* the last label has a character */
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c == '.' ? !label : !is_label_char(c)) {
            return false;
        }
        label = c != '.';
    }
    return label;
}

/* An unknown or misspelt sub-service is still a cry for help: it falls back to its parent. */
static bool emergency_urn(struct view v, struct dialled *out)
{
    struct view bare = view_starts_nocase(v, VIEW("urn:")) ? rest_after(v, 4) : v;
    if (!view_starts_nocase(bare, VIEW("service:sos"))) {
        return false;
    }
    struct view sub = rest_after(bare, sizeof "service:sos" - 1);
    if (sub.n > 0 && sub.p[0] != '.') {
        return false;
    }
    struct dialled d = result(DIAL_EMERGENCY, VIEW(SOS));
    if (sub_services_ok(sub) && sizeof SOS - 1 + sub.n < sizeof d.e164) {
        for (size_t i = 0; i < sub.n; i++) {
            char c = sub.p[i];
            d.e164[sizeof SOS - 1 + i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
    }
    *out = d;
    return true;
}

static bool emergency_code(const struct dialplan *p, struct view v)
{
    const unsigned max = sizeof p->emergency / sizeof *p->emergency;
    for (unsigned i = 0; i < p->n_emergency && i < max; i++) {
        if (p->emergency[i].n > 0 && view_eq(v, p->emergency[i])) {
            return true;
        }
    }
    return false;
}

/* ---- subscribers ---- */

/* A national number: fixed length; where there is a trunk prefix no number begins with 0, and in
 * country code 1 none begins with 1. */
static bool national_ok(const struct dialplan *p, struct view nsn)
{
    return nsn.n > 0 && nsn.n == p->national_digits &&
           (nsn.p[0] != '0' || p->national_prefix.n == 0) &&
           (nsn.p[0] != '1' || !view_eq(p->country_code, VIEW("1")));
}

/* digits: country code first, without '+'. */
static struct dialled international(const struct dialplan *p, struct view digits, struct view as)
{
    bool ours = p->country_code.n > 0 && view_starts(digits, p->country_code);
    if (!all_digits(digits) || digits.p[0] == '0' || digits.n < E164_DIGITS_MIN ||
        digits.n > E164_DIGITS_MAX ||
        (ours && p->national_digits > 0 &&
         !national_ok(p, rest_after(digits, p->country_code.n)))) {
        return invalid(as);
    }
    struct dialled d = {.class = DIAL_SUBSCRIBER, .e164 = "+"};
    memcpy(d.e164 + 1, digits.p, digits.n);
    return d;
}

static struct dialled national(const struct dialplan *p, struct view area, struct view digits)
{
    char whole[E164_DIGITS_MAX];
    const struct view parts[3] = {p->country_code, area, digits};
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].n > sizeof whole - n) {
            return invalid(digits);
        }
        if (parts[i].n > 0) {
            memcpy(whole + n, parts[i].p, parts[i].n);
        }
        n += parts[i].n;
    }
    return international(p, view_from(whole, n), digits);
}

static bool after_prefix(struct view v, struct view prefix, struct view *rest)
{
    if (prefix.n == 0 || !view_starts(v, prefix)) {
        return false;
    }
    *rest = rest_after(v, prefix.n);
    return true;
}

static struct dialled subscriber(const struct dialplan *p, struct view v)
{
    struct view rest;
    if (v.p[0] == '+') {
        return international(p, rest_after(v, 1), v);
    }
    if (!all_digits(v)) {
        return invalid(v);
    }
    if (after_prefix(v, p->international_prefix, &rest)) {
        return international(p, rest, v);
    }
    if (after_prefix(v, p->national_prefix, &rest) && rest.n == p->national_digits) {
        return national_ok(p, rest) ? national(p, VIEW(""), rest) : invalid(v);
    }
    if (v.n == p->national_digits) {
        return national_ok(p, v) ? national(p, VIEW(""), v) : invalid(v);
    }
    bool local = p->area.n > 0 && v.n + p->area.n == p->national_digits && v.p[0] != '0' &&
                 !after_prefix(v, p->national_prefix, &rest);
    return local ? national(p, p->area, v) : invalid(v);
}

struct dialled dialplan_classify(const struct dialplan *p, struct view digits)
{
    struct dialled d;
    if (digits.n == 0 || digits.n > DIALLED_MAX) {
        return result(DIAL_INVALID, VIEW(""));
    }
    if (emergency_code(p, digits)) {
        return result(DIAL_EMERGENCY, digits);
    }
    if (emergency_urn(digits, &d)) {
        return d;
    }
    if (p->provisioning.n > 0 && view_eq(digits, p->provisioning)) {
        return result(DIAL_PROVISIONING, digits);
    }
    return subscriber(p, digits);
}

/* ---- contexts ---- */

/* "+1-212" and digits in one; false: not of digits, or too long. */
static bool join(struct view context, struct view digits, char whole[2 + E164_DIGITS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < context.n + digits.n; i++) {
        char c = i < context.n ? context.p[i] : digits.p[i - context.n];
        bool separator = c == '-' || c == '.' || c == '(' || c == ')';
        if (i < context.n && separator) {
            continue;
        }
        if (n > E164_DIGITS_MAX || (i > 0 && !is_digit((unsigned char)c))) {
            return false;
        }
        whole[n++] = c;
    }
    whole[n] = 0;
    return true;
}

/* A privacy code in front of an emergency code changes nothing: who calls for help is not asked who
 * he is, and does not hide. */
static struct view without_code(const struct dialplan *p, struct view digits)
{
    struct view rest = view_sub(digits, 3, digits.n);
    bool is_coded = view_starts(digits, VIEW("*67")) || view_starts(digits, VIEW("*82"));

    return is_coded && dialplan_classify(p, rest).class == DIAL_EMERGENCY ? rest : digits;
}

enum err dialplan_keys(const struct dialplan *p, struct view keys, struct view context,
                       struct view domain, char *dst, size_t dst_bytes)
{
    char whole[2 + E164_DIGITS_MAX];
    struct view digits = without_code(p, keys);
    enum dial_class class = dialplan_classify(p, digits).class;
    bool is_code = class == DIAL_EMERGENCY || class == DIAL_PROVISIONING;
    struct view rest = view_sub(context, 1, context.n);

    if (context.n == 0 || is_code || (digits.n > 0 && digits.p[0] == '+')) {
        return view_to_cstr(digits, dst, dst_bytes);
    }
    if (context.p[0] != '+') {
        return view_eq_nocase(context, domain) ? view_to_cstr(digits, dst, dst_bytes)
                                               : FAIL(E_NOTFOUND);
    }
    if (rest.n > 0 && join(context, digits, whole) &&
        dialplan_classify(p, view_of(whole)).class == DIAL_SUBSCRIBER) {
        return view_to_cstr(view_of(whole), dst, dst_bytes);
    }
    return p->country_code.n > 0 && view_starts(rest, p->country_code)
               ? view_to_cstr(digits, dst, dst_bytes)
               : FAIL(E_NOTFOUND);
}
