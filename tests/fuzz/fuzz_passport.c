/* Tokens, Identity headers and certificates of strangers. The first octet picks: 0 a token as it
 * is, 1 header and payload as two texts with a line between them, 2 an Identity header, 3 the list
 * of numbers of a certificate, 4 a chain in PEM, 5 a number. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authz/passport_int.h"
#include "base/mem.h"
#include "base/pki.h"
#include "base/stir_cert.h"
#include "base/stir_tn.h"

static char path[64]; /* one name for the life of the process */

static const char *temp(const char *suffix)
{
    snprintf(path, sizeof path, "/tmp/fuzz_passport.%ld.%s", (long)getpid(), suffix);
    return path;
}

static const struct ec_key *key(void)
{
    static struct ec_key *k;
    struct p256_key made;

    if (k == NULL) {
        BUG_ON(p256_generate(&made) != E_OK || pki_key_save(temp("key"), &made) != E_OK ||
               ec_key_load(path, &k) != E_OK);
        unlink(path);
    }
    return k;
}

static const struct stir_anchors *anchors(void)
{
    static struct stir_anchors *a;
    struct pki_subject s = {"Root", NULL, 1700000000000000u, 3650};
    struct p256_key made;
    char why[160];

    if (a == NULL) {
        BUG_ON(p256_generate(&made) != E_OK || pki_make_root(&s, &made, temp("root")) != E_OK ||
               stir_anchors_load(path, NULL, &a, why, sizeof why) != E_OK);
        unlink(path);
    }
    return a;
}

static void same(const struct passport *a, const struct passport *b)
{
    BUG_ON(a->type != b->type || a->iat != b->iat || a->n_dest != b->n_dest ||
           a->attest != b->attest || strcmp(a->x5u, b->x5u) != 0 ||
           strcmp(a->origid, b->origid) != 0 || !passport_same_party(&a->orig, &b->orig) ||
           !passport_same_party(&a->div, &b->div));
}

/* What is read makes a token that reads as the same. */
static void token(struct view v)
{
    struct passport p, q;
    char again[PASSPORT_MAX + 1];
    const char *why = NULL;
    enum err e = passport_read(v, &p, &why);

    if (e != E_OK) {
        BUG_ON(why == NULL || (e != E_PARSE && e != E_RANGE));
        return;
    }
    BUG_ON(p.signing_input.p != v.p || p.signing_input.n != v.n - 87 || p.n_dest == 0 ||
           p.n_dest > PASSPORT_DEST_MAX);
    if (p.type == PASSPORT_OTHER) {
        BUG_ON(passport_make(&p, key(), again, sizeof again) != E_STATE);
        return;
    }
    e = passport_make(&p, key(), again, sizeof again);
    BUG_ON(e != E_OK && e != E_RANGE);
    if (e == E_OK) {
        BUG_ON(passport_read(view_of(again), &q, &why) != E_OK);
        same(&p, &q);
        (void)passport_continues(&p, &q, 1);
    }
}

static void two_texts(struct view v)
{
    static const uint8_t zeros[EC_SIGNATURE_BYTES];
    static char text[3 * 8192];
    size_t at = 0, n = 0;

    v = view_sub(v, 0, 8192);
    if (!view_find(v, '\x1e', &at)) {
        return;
    }
    n = base64url_put(view_sub(v, 0, at), text);
    text[n++] = '.';
    n += base64url_put(view_sub(v, at + 1, v.n), text + n);
    text[n++] = '.';
    n += base64url_put(view_from(zeros, sizeof zeros), text + n);
    char *exact = malloc(n); /* so that one octet too far is seen */
    memcpy(exact, text, n);
    token(view_from(exact, n));
    free(exact);
}

static void header(struct view v)
{
    struct identity_header h;
    const char *why = NULL;

    if (identity_header_read(v, &h, &why) != E_OK) {
        BUG_ON(why == NULL);
        return;
    }
    BUG_ON(h.token.p < v.p || h.token.p + h.token.n > v.p + v.n || h.token.n > PASSPORT_MAX);
    BUG_ON(h.info.p < v.p || h.info.p + h.info.n > v.p + v.n || !passport_is_uri(h.info));
    token(h.token);
}

static void numbers(struct view v)
{
    struct stir_tn_list l;
    size_t live = mem_live();
    enum err e = stir_tn_read(v, 64, &l);

    if (e == E_OK) {
        BUG_ON(l.n == 0 || l.n > 64);
        for (size_t i = 0; i < l.n; i++) {
            struct stir_tn_list one = {&l.v[i], 1}, again;
            uint8_t der[64];
            size_t n = stir_tn_write(&l.v[i], der);
            BUG_ON(n == 0 || stir_tn_read(view_from(der, n), 1, &again) != E_OK);
            BUG_ON(memcmp(again.v, &l.v[i], sizeof *again.v) != 0);
            stir_tn_free(&again);
            BUG_ON(!stir_tn_holds(&one, &one) || !stir_tn_holds(&l, &one));
            BUG_ON(l.v[i].kind != STIR_SPC && !stir_tn_has(&l, view_of(l.v[i].text)));
        }
        stir_tn_free(&l);
    }
    BUG_ON(mem_live() != live);
}

static void chain(struct view v)
{
    struct stir_cert *c = NULL;
    const char *why = NULL;

    BUG_ON(stir_cert_read(v, anchors(), 1700000001u, &c, &why) == E_OK || why == NULL);
}

static void number(struct view v)
{
    char tn[PASSPORT_TN_MAX], again[PASSPORT_TN_MAX];

    if (passport_canonical_tn(v, tn)) {
        BUG_ON(!passport_is_tn(view_of(tn)) || !passport_canonical_tn(view_of(tn), again) ||
               strcmp(tn, again) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct view) = {token,   two_texts, header,
                                                   numbers, chain,     number};

    if (size > 0) {
        targets[data[0] % (sizeof targets / sizeof *targets)](view_from(data + 1, size - 1));
    }
    return 0;
}
