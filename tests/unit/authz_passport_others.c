/* Programs of others verify the tokens that we make, and make some that we verify: jose (Debian
 * package jose), and the library behind Kamailio's module secsipid (libsecsipid1). */
#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <jansson.h>

#include "tests/unit/passports.h"

extern char **environ;

static struct passport_keys k;

static const char *file(const char *name)
{
    static char path[4][128];
    static unsigned at;
    char *p = path[at++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", k.dir, name);
    return p;
}

static int setup(void **state)
{
    (void)state;
    passport_keys_load(&k);
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"key.jwk", "token", "payload", "out", "public.pem"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unlink(file(names[i]));
    }
    passport_keys_free(&k);
    return 0;
}

/* Exit code of a program; what it prints goes to a file. */
static int run(const char *const *args, const char *to)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    int status = 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawnp(&pid, args[0], &actions, NULL, (char *const *)(uintptr_t)args, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0) {
        fail_msg("no %s: tools/setup test installs it", args[0]);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#define JOSE(...) run((const char *const[]){"jose", __VA_ARGS__, NULL}, "/dev/null")
#define SECSIPID(...)                                                                              \
    run((const char *const[]){"/usr/bin/python3", "-B", "tests/vectors/identity/secsipid",         \
                              __VA_ARGS__, NULL},                                                  \
        file("out"))

static void put(const char *name, const char *text)
{
    FILE *f = fopen(file(name), "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0 && fclose(f) == 0);
}

static size_t get(const char *name, char *dst, size_t max)
{
    FILE *f = fopen(file(name), "r");
    assert_non_null(f);
    size_t n = fread(dst, 1, max - 1, f);
    fclose(f);
    dst[n] = '\0';
    return n;
}

/* The public key in PEM as a JWK: the point stands at the end of the DER. */
static void jwk_put(void)
{
    BIO *in = BIO_new_mem_buf(k.public_pem, -1);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(in, NULL, NULL, NULL);
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    char x[44] = "", y[44] = "", text[256];
    assert_int_equal(n, 91);
    x[base64url_put(view_from(der + n - 64, 32), x)] = '\0';
    y[base64url_put(view_from(der + n - 32, 32), y)] = '\0';
    snprintf(text, sizeof text, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}", x,
             y);
    put("key.jwk", text);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    BIO_free(in);
}

static struct passport shaken(char attest, uint64_t iat)
{
    return (struct passport){.type = PASSPORT_SHAKEN,
                             .x5u = "https://certs.example.net/sp.pem",
                             .orig.tn = "12155550101",
                             .n_dest = 1,
                             .dest = {{.tn = "12155550102"}},
                             .iat = iat,
                             .attest = attest,
                             .origid = "123e4567-e89b-12d3-a456-426655440000"};
}

static void ours_with_jose(void **state)
{
    struct passport p = shaken('B', 1700000000);
    char token[PASSPORT_MAX + 1], out[4096];
    (void)state;
    jwk_put();
    assert_int_equal(passport_make(&p, k.key, token, sizeof token), E_OK);
    put("token", token);
    assert_int_equal(
        JOSE("jws", "ver", "-i", file("token"), "-k", file("key.jwk"), "-O", file("out")), 0);
    get("out", out, sizeof out);
    json_t *claims = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    assert_string_equal(json_string_value(json_object_get(claims, "attest")), "B");
    assert_int_equal(json_integer_value(json_object_get(claims, "iat")), 1700000000);
    assert_int_equal(json_object_size(claims), 5);
    json_decref(claims);
    token[strlen(token) - 10] ^= 1;
    put("token", token);
    assert_int_not_equal(
        JOSE("jws", "ver", "-i", file("token"), "-k", file("key.jwk"), "-O", file("out")), 0);
}

/* The JWK of jose's own key, as a public key in PEM. */
static struct ec_public *jwk_get(void)
{
    uint8_t der[91] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                       0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                       0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
    const unsigned char *at = der;
    char pem[512];
    size_t n = 0;
    struct ec_public *out = NULL;
    json_t *jwk = json_load_file(file("key.jwk"), 0, NULL);
    assert_non_null(jwk);
    assert_true(
        base64url_get(view_of(json_string_value(json_object_get(jwk, "x"))), der + 27, 32, &n) &&
        base64url_get(view_of(json_string_value(json_object_get(jwk, "y"))), der + 59, 32, &n));
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, sizeof der);
    BIO *b = BIO_new(BIO_s_mem());
    assert_true(key && PEM_write_bio_PUBKEY(b, key));
    assert_int_equal(ec_public_read(view_from(pem, (size_t)BIO_read(b, pem, sizeof pem)), &out),
                     E_OK);
    BIO_free(b);
    EVP_PKEY_free(key);
    json_decref(jwk);
    return out;
}

static void jose_s_with_us(void **state)
{
    char token[4096];
    struct passport p;
    const char *why = NULL;
    (void)state;
    unlink(file("key.jwk"));
    put("payload", "{\"dest\":{\"tn\":[\"12155550102\"]},\"div\":{\"tn\":\"12155550103\"},\"iat\":"
                   "1700000000,\"orig\":{\"tn\":\"12155550101\"}}");
    assert_int_equal(JOSE("jwk", "gen", "-i", "{\"alg\":\"ES256\"}", "-o", file("key.jwk")), 0);
    assert_int_equal(JOSE("jws", "sig", "-I", file("payload"), "-k", file("key.jwk"), "-s",
                          "{\"protected\":{\"alg\":\"ES256\",\"ppt\":\"div\",\"typ\":\"passport\","
                          "\"x5u\":\"https://c.example/c\"}}",
                          "-c", "-o", file("token")),
                     0);
    struct ec_public *key = jwk_get();
    size_t n = get("token", token, sizeof token);
    struct view text = view_from(token, n);
    assert_int_equal(passport_read(text, &p, &why), E_OK);
    assert_int_equal(p.type, PASSPORT_DIV);
    assert_string_equal(p.div.tn, "12155550103");
    assert_int_equal(passport_verify(&p, key), E_OK);
    assert_int_equal(passport_verify(&p, k.public), E_AUTH);
    ec_public_free(key);
}

/* It looks at the clock: a token is good for a minute. */
static void ours_with_secsipid(void **state)
{
    struct passport p = shaken('A', (uint64_t)time(NULL));
    char token[PASSPORT_MAX + 1], text[2900];
    (void)state;
    put("public.pem", k.public_pem);
    assert_int_equal(passport_make(&p, k.key, token, sizeof token), E_OK);
    assert_int_equal(identity_header_write(&p, token, text, sizeof text), E_OK);
    assert_int_equal(SECSIPID("check", file("public.pem"), text + 10), 0);
    token[strlen(token) - 10] ^= 1;
    assert_int_equal(identity_header_write(&p, token, text, sizeof text), E_OK);
    assert_int_not_equal(SECSIPID("check", file("public.pem"), text + 10), 0);
}

static void secsipid_s_with_us(void **state)
{
    char text[4096];
    struct identity_header h;
    struct passport p;
    const char *why = NULL;
    (void)state;
    assert_int_equal(SECSIPID("sign", k.path, "12155550107", "12155550108", "C",
                              "123e4567-e89b-12d3-a456-426655440001", "https://c.example/c.pem"),
                     0);
    size_t n = get("out", text, sizeof text);
    assert_int_equal(identity_header_read(view_from(text, n), &h, &why), E_OK);
    assert_int_equal(passport_read(h.token, &p, &why), E_OK);
    assert_true(identity_header_agrees(&h, &p, &why));
    assert_int_equal(p.type, PASSPORT_SHAKEN);
    assert_int_equal(p.attest, 'C');
    assert_string_equal(p.orig.tn, "12155550107");
    assert_string_equal(p.dest[0].tn, "12155550108");
    assert_string_equal(p.origid, "123e4567-e89b-12d3-a456-426655440001");
    assert_int_equal(passport_verify(&p, k.public), E_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours_with_jose),
        cmocka_unit_test(jose_s_with_us),
        cmocka_unit_test(ours_with_secsipid),
        cmocka_unit_test(secsipid_s_with_us),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
