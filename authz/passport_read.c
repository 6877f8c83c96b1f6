#include <string.h>

#include "authz/passport_int.h"
#include "authz/passport_json.h"

enum header_bit { H_ALG = 1, H_TYP = 2, H_X5U = 4 };
enum claim_bit {
    C_DEST = 1,
    C_IAT = 2,
    C_ORIG = 4,
    C_ATTEST = 8,
    C_ORIGID = 16,
    C_DIV = 32,
    C_OPT = 64
};

struct reading {
    struct passport p;
    unsigned seen;                /* of the bits above, header or payload */
    bool as_tn;                   /* the array of dest that is being read */
    struct passport_party *party; /* orig or div that is being read */
};

/* ---- the header ---- */

static enum err exactly(struct json *j, const char *want, const char *why)
{
    char text[16];
    enum err e = pjson_text(j, text, sizeof text);
    if (e == E_OK && strcmp(text, want) != 0) {
        e = pjson_bad(j, why);
    }
    return e == E_RANGE ? pjson_bad(j, why) : e;
}

static enum err read_alg(struct json *j, struct reading *r)
{
    (void)r;
    return exactly(j, "ES256", "alg is not ES256");
}

static enum err read_typ(struct json *j, struct reading *r)
{
    (void)r;
    return exactly(j, "passport", "typ is not passport");
}

static enum err read_x5u(struct json *j, struct reading *r)
{
    enum err e = pjson_text(j, r->p.x5u, sizeof r->p.x5u);
    if (e == E_OK && !passport_is_x5u(view_of(r->p.x5u))) {
        e = pjson_bad(j, "x5u is no https URI");
    }
    return e;
}

static enum err read_ppt(struct json *j, struct reading *r)
{
    enum err e = pjson_text(j, r->p.ppt, sizeof r->p.ppt);
    if (e == E_OK && r->p.ppt[0] == '\0') {
        e = pjson_bad(j, "ppt is empty");
    }
    r->p.type = PASSPORT_OTHER;
    for (int t = PASSPORT_SHAKEN; t < PASSPORT_OTHER; t++) {
        if (strcmp(r->p.ppt, passport_ppt((enum passport_type)t)) == 0) {
            r->p.type = (enum passport_type)t;
        }
    }
    return e;
}

static enum err read_crit(struct json *j, struct reading *r)
{
    (void)r;
    return pjson_bad(j, "crit asks for what we do not know"); /* RFC 7515 section 4.1.11 */
}

/* ---- the payload ---- */

static enum err read_tn(struct json *j, struct passport_party *p)
{
    enum err e = pjson_text(j, p->tn, sizeof p->tn);
    if (e == E_OK && !passport_is_tn(view_of(p->tn))) {
        e = pjson_bad(j, "tn is no canonical number");
    }
    return e;
}

static enum err read_uri(struct json *j, struct passport_party *p)
{
    enum err e = pjson_text(j, p->uri, sizeof p->uri);
    if (e == E_OK && !passport_is_uri(view_of(p->uri))) {
        e = pjson_bad(j, "uri is no URI");
    }
    return e;
}

/* orig and div have one identity, and of those we know. */
static enum err party_member(struct json *j, const char *name, void *ctx)
{
    struct reading *r = ctx;
    bool tn = strcmp(name, "tn") == 0;
    if (!tn && strcmp(name, "uri") != 0) {
        return pjson_skip(j); /* div may have "hi" beside it: RFC 8946 section 8 */
    }
    if (r->party->tn[0] || r->party->uri[0]) {
        return pjson_bad(j, "orig or div has two identities");
    }
    return tn ? read_tn(j, r->party) : read_uri(j, r->party);
}

static enum err read_party(struct json *j, struct reading *r, struct passport_party *p)
{
    r->party = p;
    enum err e = pjson_object(j, party_member, r);
    if (e == E_OK && !p->tn[0] && !p->uri[0]) {
        e = pjson_bad(j, "orig or div has neither tn nor uri");
    }
    return e;
}

static enum err read_orig(struct json *j, struct reading *r)
{
    return read_party(j, r, &r->p.orig);
}

static enum err read_div(struct json *j, struct reading *r)
{
    return read_party(j, r, &r->p.div);
}

static enum err dest_element(struct json *j, void *ctx)
{
    struct reading *r = ctx;
    if (r->p.n_dest == PASSPORT_DEST_MAX) {
        return pjson_bad(j, "too many in dest");
    }
    struct passport_party *p = &r->p.dest[r->p.n_dest++];
    return r->as_tn ? read_tn(j, p) : read_uri(j, p);
}

static enum err dest_member(struct json *j, const char *name, void *ctx)
{
    struct reading *r = ctx;
    r->as_tn = strcmp(name, "tn") == 0;
    if (!r->as_tn && strcmp(name, "uri") != 0) {
        return pjson_skip(j);
    }
    unsigned before = r->p.n_dest;
    enum err e = pjson_array(j, dest_element, r);
    return e == E_OK && r->p.n_dest == before ? pjson_bad(j, "an empty array in dest") : e;
}

static enum err read_dest(struct json *j, struct reading *r)
{
    enum err e = pjson_object(j, dest_member, r);
    return e == E_OK && r->p.n_dest == 0 ? pjson_bad(j, "dest has neither tn nor uri") : e;
}

static enum err read_iat(struct json *j, struct reading *r)
{
    return pjson_number(j, PASSPORT_IAT_MAX, &r->p.iat);
}

static enum err read_attest(struct json *j, struct reading *r)
{
    char text[8];
    enum err e = pjson_text(j, text, sizeof text);
    if (e == E_RANGE || (e == E_OK && (strlen(text) != 1 || !strchr("ABC", text[0])))) {
        return pjson_bad(j, "attest is not A, B or C");
    }
    r->p.attest = text[0];
    return e;
}

static enum err read_origid(struct json *j, struct reading *r)
{
    enum err e = pjson_text(j, r->p.origid, sizeof r->p.origid);
    if (e == E_OK && !passport_is_uuid(view_of(r->p.origid))) {
        e = pjson_bad(j, "origid is no UUID");
    }
    return e;
}

static enum err read_opt(struct json *j, struct reading *r)
{
    (void)r;
    return pjson_skip(j);
}

/* ---- both ---- */

struct rule {
    const char *name;
    unsigned bit;
    unsigned types; /* in which the name is ours: 1 << type */
    enum err (*read)(struct json *j, struct reading *r);
};
#define EVERY  (~0u)
#define SHAKEN (1u << PASSPORT_SHAKEN)
#define DIV    (1u << PASSPORT_DIV)

static const struct rule header_rules[] = {
    {"alg", H_ALG, EVERY, read_alg}, {"typ", H_TYP, EVERY, read_typ},
    {"x5u", H_X5U, EVERY, read_x5u}, {"ppt", 0, EVERY, read_ppt},
    {"crit", 0, EVERY, read_crit},   {NULL, 0, 0, NULL},
};
static const struct rule claim_rules[] = {
    {"dest", C_DEST, EVERY, read_dest},
    {"iat", C_IAT, EVERY, read_iat},
    {"orig", C_ORIG, EVERY, read_orig},
    {"attest", C_ATTEST, SHAKEN, read_attest},
    {"origid", C_ORIGID, SHAKEN, read_origid},
    {"div", C_DIV, DIV, read_div},
    {"opt", C_OPT, DIV, read_opt},
    {NULL, 0, 0, NULL},
};

static enum err by_rule(const struct rule *rule, struct json *j, const char *name,
                        struct reading *r)
{
    for (; rule->name; rule++) {
        if (strcmp(rule->name, name) == 0 && (rule->types & 1u << r->p.type)) {
            r->seen |= rule->bit;
            return rule->read(j, r);
        }
    }
    return pjson_skip(j);
}

static enum err header_member(struct json *j, const char *name, void *ctx)
{
    return by_rule(header_rules, j, name, ctx);
}

static enum err claim_member(struct json *j, const char *name, void *ctx)
{
    return by_rule(claim_rules, j, name, ctx);
}

/* What has to be there and is not, or the other way; NULL: all is well. */
static const char *lacking(const struct reading *r)
{
    static const struct {
        unsigned bit, types;
        const char *why;
    } must[] = {
        {C_DEST, EVERY, "no dest"},      {C_IAT, EVERY, "no iat"},
        {C_ORIG, EVERY, "no orig"},      {C_ATTEST, SHAKEN, "no attest"},
        {C_ORIGID, SHAKEN, "no origid"}, {C_DIV, DIV, "no div"},
    };
    for (size_t i = 0; i < sizeof must / sizeof *must; i++) {
        if (!(r->seen & must[i].bit) && (must[i].types & 1u << r->p.type)) {
            return must[i].why;
        }
    }
    return r->seen & C_OPT ? "div has an opt" : NULL; /* RFC 8946 section 3 */
}

static enum err read_part(struct view text, pjson_member_fn *member, struct reading *r,
                          const char **why)
{
    char part[PASSPORT_PART_MAX];
    size_t n = 0;
    if (!base64url_get(text, part, sizeof part, &n)) {
        *why = "no base64url";
        return FAIL(E_PARSE);
    }
    struct json j = pjson_over(view_from(part, n));
    r->seen = 0;
    enum err e = pjson_object(&j, member, r);
    if (e == E_OK) {
        e = pjson_end(&j);
    }
    *why = j.why;
    return e;
}

static enum err refuse(const char **why, const char *text, enum err e)
{
    *why = text;
    return FAIL(e);
}

static enum err read_both(struct view header, struct view payload, struct reading *r,
                          const char **why)
{
    enum err e = read_part(header, header_member, r, why);
    if (e != E_OK) {
        return e;
    }
    if ((r->seen & (H_ALG | H_TYP | H_X5U)) != (H_ALG | H_TYP | H_X5U)) {
        return refuse(why, "no alg, typ or x5u", E_PARSE);
    }
    e = read_part(payload, claim_member, r, why);
    const char *missing = e == E_OK ? lacking(r) : NULL;
    return missing ? refuse(why, missing, E_PARSE) : e;
}

enum err passport_read(struct view token, struct passport *out, const char **why)
{
    struct reading r = {.p.type = PASSPORT_BASE};
    struct cursor c = cursor_over(token);
    struct view header, payload, signature;
    const char *reason = NULL;
    size_t n = 0;
    if (token.n > PASSPORT_MAX) {
        return refuse(why, "the token is too long", E_RANGE);
    }
    if (cur_until(&c, '.', &header) != E_OK || cur_until(&c, '.', &payload) != E_OK) {
        return refuse(why, "the token has no three parts", E_PARSE);
    }
    if (header.n == 0 || payload.n == 0) {
        return refuse(why, "the token is in compact form", E_PARSE);
    }
    signature = cur_rest(&c);
    if (signature.n != PASSPORT_SIGNATURE_CHARS ||
        !base64url_get(signature, r.p.signature, sizeof r.p.signature, &n)) {
        return refuse(why, "the signature has not the form of ES256", E_PARSE);
    }
    enum err e = read_both(header, payload, &r, &reason);
    if (e != E_OK) {
        return refuse(why, reason, e);
    }
    r.p.signing_input = view_from(token.p, header.n + 1 + payload.n);
    *out = r.p;
    return E_OK;
}

enum err passport_verify(const struct passport *p, const struct ec_public *key)
{
    return ec_verify(key, p->signing_input, p->signature);
}
