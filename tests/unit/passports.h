/* tests/unit/passports.h - keys and tokens for tests of authz/passport.h. Include after cmocka.h.
 */
#ifndef TESTS_UNIT_PASSPORTS_H
#define TESTS_UNIT_PASSPORTS_H

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authz/passport_int.h"

struct passport_keys {
    char dir[64], path[96];
    struct ec_key *key;
    struct ec_public *public;
    char public_pem[512];
};

static inline void passport_keys_make(struct passport_keys *k, const char *curve)
{
    EVP_PKEY *key = EVP_EC_gen(curve);
    BIO *out = NULL;
    int n = 0;

    strcpy(k->dir, "/tmp/passportXXXXXX");
    assert_non_null(mkdtemp(k->dir));
    snprintf(k->path, sizeof k->path, "%s/key.pem", k->dir);
    out = BIO_new_file(k->path, "w");
    assert_true(out && PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL));
    BIO_free(out);
    assert_int_equal(chmod(k->path, 0600), 0);
    out = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_PUBKEY(out, key));
    n = BIO_read(out, k->public_pem, sizeof k->public_pem - 1);
    assert_true(n > 0);
    k->public_pem[n] = '\0';
    BIO_free(out);
    EVP_PKEY_free(key);
}

static inline void passport_keys_load(struct passport_keys *k)
{
    passport_keys_make(k, "P-256");
    assert_int_equal(ec_key_load(k->path, &k->key), E_OK);
    assert_int_equal(ec_public_read(view_of(k->public_pem), &k->public), E_OK);
}

static inline void passport_keys_free(struct passport_keys *k)
{
    ec_key_free(k->key);
    ec_public_free(k->public);
    unlink(k->path);
    rmdir(k->dir);
}

/* Any two texts as a token; returns its octets. out: 8192. */
static inline size_t passport_sign_raw(const struct ec_key *key, struct view header,
                                       struct view payload, char *out)
{
    uint8_t signature[EC_SIGNATURE_BYTES];
    size_t n = base64url_put(header, out);

    out[n++] = '.';
    n += base64url_put(payload, out + n);
    assert_int_equal(ec_sign(key, view_from(out, n), signature), E_OK);
    out[n++] = '.';
    n += base64url_put(view_from(signature, sizeof signature), out + n);
    out[n] = '\0';
    return n;
}

/* A file of tests/data/passport, without the end of its line. */
static inline struct view passport_data(const char *name, char *dst, size_t max)
{
    char path[128];
    FILE *f = NULL;
    size_t n = 0;

    snprintf(path, sizeof path, "tests/data/passport/%s", name);
    f = fopen(path, "r");
    assert_non_null(f);
    n = fread(dst, 1, max, f);
    fclose(f);
    assert_true(n > 0 && n < max);
    return view_from(dst, dst[n - 1] == '\n' ? n - 1 : n);
}

#endif
