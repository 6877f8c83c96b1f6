/* Tokens that are signed well and still none: one table, one reason for each. And Identity headers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "authz/passport_json.h"
#include "tests/unit/passports.h"

#define X5U     "\"x5u\":\"https://c.example/c.pem\""
#define BASE    "{\"alg\":\"ES256\",\"typ\":\"passport\"," X5U "}"
#define PPT(p)  "{\"alg\":\"ES256\",\"ppt\":\"" p "\",\"typ\":\"passport\"," X5U "}"
#define DEST    "\"dest\":{\"tn\":[\"12155550102\"]}"
#define IAT     "\"iat\":1700000000"
#define ORIG    "\"orig\":{\"tn\":\"12155550101\"}"
#define UUID    "123e4567-e89b-12d3-a456-426655440000"
#define CLAIMS  "{" DEST "," IAT "," ORIG "}"
#define ATTEST  "\"attest\":\"A\""
#define ORIGID  "\"origid\":\"" UUID "\""
#define OF_SP   "{" ATTEST "," DEST "," IAT "," ORIG "," ORIGID "}"
#define DIV     "\"div\":{\"tn\":\"12155550103\"}"
#define LONG_TN "12345678901234567890"

static struct passport_keys k;

static int setup(void **state)
{
    (void)state;
    passport_keys_load(&k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    passport_keys_free(&k);
    return 0;
}

struct row {
    const char *header, *payload;
    enum err e;
    const char *why; /* NULL: E_OK */
};

static const struct row rows[] = {
    /* what is right, first */
    {BASE, CLAIMS, E_OK, NULL},
    {PPT("shaken"), OF_SP, E_OK, NULL},
    {PPT("div"), "{" DEST "," DIV "," IAT "," ORIG "}", E_OK, NULL},
    {PPT("div"), "{" DEST ",\"div\":{\"hi\":\"1.1\",\"tn\":\"1\"}," IAT "," ORIG "}", E_OK, NULL},
    {PPT("rph"), "{" DEST "," IAT "," ORIG ",\"rph\":{\"auth\":[\"ets.0\"]}}", E_OK, NULL},
    {PPT("rcd"), "{" DEST "," IAT "," ORIG ",\"attest\":7}", E_OK, NULL}, /* not ours there */
    {" { \"typ\" : \"passport\" ,\n" X5U ",\t\"alg\":\"ES256\"}\r\n", CLAIMS, E_OK, NULL},
    {BASE, "{" ORIG "," IAT "," DEST "}", E_OK, NULL},
    {BASE, "{" DEST "," IAT "," ORIG ",\"mky\":[{\"alg\":\"sha-256\",\"dig\":\"02\"}]}", E_OK,
     NULL},
    {BASE, "{" DEST "," IAT "," ORIG ",\"x\":[-1.5e+3,0,true,false,null,{}],\"y\":\"\\\"\"}", E_OK,
     NULL},
    {BASE, "{" DEST "," IAT ",\"orig\":{\"tn\":\"\\u0031\\u0032\"}}", E_OK, NULL},
    {BASE, "{" DEST ",\"iat\":0," ORIG "}", E_OK, NULL},
    {BASE, "{\"dest\":{\"uri\":[\"urn:service:sos\"]}," IAT "," ORIG "}", E_OK, NULL},
    {BASE, "{\"dest\":{\"new\":1,\"tn\":[\"1\"]}," IAT "," ORIG "}", E_OK, NULL},
    /* the header */
    {"{\"alg\":\"none\",\"typ\":\"passport\"," X5U "}", CLAIMS, E_PARSE, "alg is not ES256"},
    {"{\"alg\":\"HS256\",\"typ\":\"passport\"," X5U "}", CLAIMS, E_PARSE, "alg is not ES256"},
    {"{\"alg\":\"ES384\",\"typ\":\"passport\"," X5U "}", CLAIMS, E_PARSE, "alg is not ES256"},
    {"{\"alg\":\"es256\",\"typ\":\"passport\"," X5U "}", CLAIMS, E_PARSE, "alg is not ES256"},
    {"{\"alg\":\"ES256ES256ES256ES256\",\"typ\":\"passport\"," X5U "}", CLAIMS, E_PARSE,
     "a text is too long"},
    {"{\"typ\":\"passport\"," X5U "}", CLAIMS, E_PARSE, "no alg, typ or x5u"},
    {"{\"alg\":\"ES256\"," X5U "}", CLAIMS, E_PARSE, "no alg, typ or x5u"},
    {"{\"alg\":\"ES256\",\"typ\":\"passport\"}", CLAIMS, E_PARSE, "no alg, typ or x5u"},
    {"{\"alg\":\"ES256\",\"typ\":\"JWT\"," X5U "}", CLAIMS, E_PARSE, "typ is not passport"},
    {"{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"http://c.example/c\"}", CLAIMS, E_PARSE,
     "x5u is no https URI"},
    {"{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"https://\"}", CLAIMS, E_PARSE,
     "x5u is no https URI"},
    {"{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"file:///etc/passwd\"}", CLAIMS, E_PARSE,
     "x5u is no https URI"},
    {"{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"https://c/\\u003e\"}", CLAIMS, E_PARSE,
     "x5u is no https URI"},
    {"{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"typ\":\"passport\"," X5U "}", CLAIMS, E_PARSE,
     "crit asks for what we do not know"},
    {"{\"alg\":\"ES256\",\"ppt\":\"\",\"typ\":\"passport\"," X5U "}", CLAIMS, E_PARSE,
     "ppt is empty"},
    {"{\"alg\":\"ES256\",\"alg\":\"ES256\",\"typ\":\"passport\"," X5U "}", CLAIMS, E_PARSE,
     "a name twice in one object"},
    {"{\"alg\":\"ES256\",\"\\u0061lg\":\"none\",\"typ\":\"passport\"," X5U "}", CLAIMS, E_PARSE,
     "a name twice in one object"},
    {"[]", CLAIMS, E_PARSE, "a JSON object is expected"},
    {BASE "x", CLAIMS, E_PARSE, "something follows a JSON object"},
    /* the claims */
    {BASE, "{" IAT "," ORIG "}", E_PARSE, "no dest"},
    {BASE, "{" DEST "," ORIG "}", E_PARSE, "no iat"},
    {BASE, "{" DEST "," IAT "}", E_PARSE, "no orig"},
    {BASE, "{" DEST ",\"iat\":\"1700000000\"," ORIG "}", E_PARSE, "a whole number is expected"},
    {BASE, "{" DEST ",\"iat\":-1," ORIG "}", E_PARSE, "a number without sign is expected"},
    {BASE, "{" DEST ",\"iat\":1.5," ORIG "}", E_PARSE, "a whole number is expected"},
    {BASE, "{" DEST ",\"iat\":1e9," ORIG "}", E_PARSE, "a whole number is expected"},
    {BASE, "{" DEST ",\"iat\":017," ORIG "}", E_PARSE, "a whole number is expected"},
    {BASE, "{" DEST ",\"iat\":253402300800," ORIG "}", E_RANGE, "a number is too big"},
    {BASE, "{" DEST ",\"iat\":99999999999999999999999," ORIG "}", E_RANGE, "a number is too big"},
    {BASE, "{\"dest\":{}," IAT "," ORIG "}", E_PARSE, "dest has neither tn nor uri"},
    {BASE, "{\"dest\":{\"tn\":[]}," IAT "," ORIG "}", E_PARSE, "an empty array in dest"},
    {BASE, "{\"dest\":{\"tn\":\"1\"}," IAT "," ORIG "}", E_PARSE, "a JSON array is expected"},
    {BASE, "{\"dest\":[\"1\"]," IAT "," ORIG "}", E_PARSE, "a JSON object is expected"},
    {BASE, "{\"dest\":\"{\\\"tn\\\":[\\\"1\\\"]}\"," IAT "," ORIG "}", E_PARSE,
     "a JSON object is expected"},
    {BASE, "{\"dest\":{\"tn\":[12155550102]}," IAT "," ORIG "}", E_PARSE,
     "a JSON text is expected"},
    {BASE,
     "{\"dest\":{\"tn\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]}," IAT "," ORIG "}",
     E_PARSE, "too many in dest"},
    {BASE, "{" DEST "," IAT ",\"orig\":{\"tn\":\"+12155550101\"}}", E_PARSE,
     "tn is no canonical number"},
    {BASE, "{" DEST "," IAT ",\"orig\":{\"tn\":\"1-215\"}}", E_PARSE, "tn is no canonical number"},
    {BASE, "{" DEST "," IAT ",\"orig\":{\"tn\":\"\"}}", E_PARSE, "tn is no canonical number"},
    {BASE, "{" DEST "," IAT ",\"orig\":{\"tn\":\"" LONG_TN "\"}}", E_RANGE, "a text is too long"},
    {BASE, "{" DEST "," IAT ",\"orig\":{\"tn\":[\"1\"]}}", E_PARSE, "a JSON text is expected"},
    {BASE, "{" DEST "," IAT ",\"orig\":{\"tn\":\"1\",\"uri\":\"sip:a@b\"}}", E_PARSE,
     "orig or div has two identities"},
    {BASE, "{" DEST "," IAT ",\"orig\":{\"tn\":\"1\",\"tn\":\"2\"}}", E_PARSE,
     "a name twice in one object"},
    {BASE, "{" DEST "," IAT ",\"orig\":{\"uri\":\"alice\"}}", E_PARSE, "uri is no URI"},
    {BASE, "{" DEST "," IAT ",\"orig\":{\"uri\":\"sip:a b\"}}", E_PARSE, "uri is no URI"},
    {BASE, "{" DEST "," IAT ",\"orig\":{}}", E_PARSE, "orig or div has neither tn nor uri"},
    {BASE, "{" DEST "," IAT "," ORIG "," ORIG "}", E_PARSE, "a name twice in one object"},
    {PPT("shaken"), CLAIMS, E_PARSE, "no attest"},
    {PPT("shaken"), "{" ATTEST "," DEST "," IAT "," ORIG "}", E_PARSE, "no origid"},
    {PPT("shaken"), "{\"attest\":\"D\"," DEST "," IAT "," ORIG "," ORIGID "}", E_PARSE,
     "attest is not A, B or C"},
    {PPT("shaken"), "{\"attest\":\"\"," DEST "," IAT "," ORIG "," ORIGID "}", E_PARSE,
     "attest is not A, B or C"},
    {PPT("shaken"), "{\"attest\":\"AB\"," DEST "," IAT "," ORIG "," ORIGID "}", E_PARSE,
     "attest is not A, B or C"},
    {PPT("shaken"), "{" ATTEST "," DEST "," IAT "," ORIG ",\"origid\":\"call 7\"}", E_PARSE,
     "origid is no UUID"},
    {PPT("div"), CLAIMS, E_PARSE, "no div"},
    {PPT("div"), "{" DEST ",\"div\":{\"hi\":\"1\"}," IAT "," ORIG "}", E_PARSE,
     "orig or div has neither tn nor uri"},
    {PPT("div"), "{" DEST "," DIV "," IAT ",\"opt\":\"a.b.c\"," ORIG "}", E_PARSE,
     "div has an opt"},
    /* JSON that is none */
    {BASE, "", E_PARSE, "the token is in compact form"},
    {BASE, "{", E_PARSE, "a JSON text is expected"},
    {BASE, "{" DEST "," IAT "," ORIG ",}", E_PARSE, "a JSON text is expected"},
    {BASE, "{" DEST " " IAT "}", E_PARSE, "a comma or the end of an object or array is expected"},
    {BASE, "{\"dest\"=1}", E_PARSE, "a colon is expected"},
    {BASE, "{'dest':1}", E_PARSE, "a JSON text is expected"},
    {BASE, "{\"x\":tru}", E_PARSE, "no JSON value"},
    {BASE, "{\"x\":01}", E_PARSE, "no JSON value"},
    {BASE, "{\"x\":1.}", E_PARSE, "no JSON value"},
    {BASE, "{\"x\":1e}", E_PARSE, "no JSON value"},
    {BASE, "{\"x\":+1}", E_PARSE, "no JSON value"},
    {BASE, "{\"x\":NaN}", E_PARSE, "no JSON value"},
    {BASE, "{\"x\":\"a", E_PARSE, "a JSON text does not end"},
    {BASE, "{\"x\":\"a\x01\"}", E_PARSE, "a control character, or no UTF-8"},
    {BASE, "{\"x\":\"a\nb\"}", E_PARSE, "a control character, or no UTF-8"},
    {BASE, "{\"x\":\"\xff\"}", E_PARSE, "a control character, or no UTF-8"},
    {BASE, "{\"x\":\"\xc0\xaf\"}", E_PARSE, "a control character, or no UTF-8"},
    {BASE, "{\"x\":\"\xed\xa0\x80\"}", E_PARSE, "a control character, or no UTF-8"},
    {BASE, "{\"x\":\"\xf4\x90\x80\x80\"}", E_PARSE, "a control character, or no UTF-8"},
    {BASE, "{\"x\":\"\xe2\x82\"}", E_PARSE, "a control character, or no UTF-8"},
    {BASE, "{\"x\":\"\\q\"}", E_PARSE, "bad escape in a JSON text"},
    {BASE, "{\"x\":\"\\u0000\"}", E_PARSE, "bad escape in a JSON text"},
    {BASE, "{\"x\":\"\\u12\"}", E_PARSE, "bad escape in a JSON text"},
    {BASE, "{\"x\":\"\\ud800\"}", E_PARSE, "bad escape in a JSON text"},
    {BASE, "{\"x\":\"\\ud800\\u0041\"}", E_PARSE, "bad escape in a JSON text"},
    {BASE, "{\"x\":\"\\udc00\"}", E_PARSE, "bad escape in a JSON text"},
    {BASE, "{\"x\":\"\\", E_PARSE, "bad escape in a JSON text"},
    {BASE, "{\"x\":[[[[[[[[1]]]]]]]]}", E_RANGE, "nested too deeply"},
    {BASE, "{\"a name of more than thirty-one octets\":1}", E_RANGE, "a text is too long"},
};

static enum err read_text(const char *header, const char *payload, const char **why)
{
    static char token[8192];
    struct passport p;
    size_t n = passport_sign_raw(k.key, view_of(header), view_of(payload), token);
    enum err e = passport_read(view_from(token, n), &p, why);
    if (e == E_OK) {
        assert_int_equal(passport_verify(&p, k.public), E_OK);
    }
    return e;
}

static void table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *why = "";
        enum err e = read_text(rows[i].header, rows[i].payload, &why);
        bool same = e == rows[i].e && strcmp(why, rows[i].why ? rows[i].why : "") == 0;
        if (!same) {
            fail_msg("row %zu, %s %s: %s %s", i, rows[i].header, rows[i].payload, err_name(e), why);
        }
    }
}

/* {"n0":0,"n1":0 ...}, or one array when name is NULL */
static const char *many(int n, const char *name)
{
    static char text[8192];
    size_t at = (size_t)snprintf(text, sizeof text, name ? "{" : "{\"x\":[");
    for (int i = 0; i < n && at < sizeof text - 64; i++) {
        at += name ? (size_t)snprintf(text + at, 64, "%s\"%s%d\":0", i ? "," : "", name, i)
                   : (size_t)snprintf(text + at, 64, i ? ",0" : "0");
    }
    snprintf(text + at, 64, name ? "}" : "]}");
    return text;
}

static void bounds(void **state)
{
    static char text[4096];
    const char *why = NULL;
    (void)state;
    assert_int_equal(read_text(BASE, many(JSON_VALUES_MAX - 1, NULL), &why), E_PARSE);
    assert_string_equal(why, "no dest");
    assert_int_equal(read_text(BASE, many(JSON_VALUES_MAX, NULL), &why), E_RANGE);
    assert_string_equal(why, "too many values");
    assert_int_equal(read_text(BASE, many(JSON_MEMBERS_MAX, "n"), &why), E_PARSE);
    assert_string_equal(why, "no dest");
    assert_int_equal(read_text(BASE, many(JSON_MEMBERS_MAX + 1, "n"), &why), E_RANGE);
    assert_string_equal(why, "too many members in an object");
    memset(text, ' ', 2000);
    snprintf(text + 2000, sizeof text - 2000, "%s", CLAIMS);
    assert_int_equal(read_text(BASE, text, &why), E_RANGE);
    assert_string_equal(why, "the token is too long");
}

/* ---- the three parts ---- */

static void shapes(void **state)
{
    static char token[8192], text[8200];
    struct passport p;
    const char *why = NULL;
    size_t n = passport_sign_raw(k.key, VIEW(BASE), VIEW(CLAIMS), token);
    (void)state;
    assert_int_equal(passport_read(view_from(token, n), &p, &why), E_OK);
    for (size_t i = 0; i < n; i++) { /* cut anywhere */
        assert_int_not_equal(passport_read(view_from(token, i), &p, &why), E_OK);
    }
    snprintf(text, sizeof text, "%s.", token);
    assert_int_equal(passport_read(view_of(text), &p, &why), E_PARSE);
    snprintf(text, sizeof text, "%s=", token);
    assert_int_equal(passport_read(view_of(text), &p, &why), E_PARSE);
    snprintf(text, sizeof text, "..%s", token + n - 86);
    assert_int_equal(passport_read(view_of(text), &p, &why), E_PARSE);
    assert_string_equal(why, "the token is in compact form");
    snprintf(text, sizeof text, "%s",
             token); /* the signature's last letter has two bits too many */
    text[n - 1] = (char)(text[n - 1] == 'A' ? 'B' : text[n - 1] + 1);
    assert_int_equal(passport_read(view_of(text), &p, &why), E_PARSE);
    assert_string_equal(why, "the signature has not the form of ES256");
    n = passport_sign_raw(k.key, VIEW(BASE), VIEW(CLAIMS " "), token);
    char *dot = memchr(token, '.', n);
    snprintf(text, sizeof text, "%.*s+%s", (int)(dot - token - 1), token, dot);
    assert_int_equal(passport_read(view_of(text), &p, &why), E_PARSE);
    assert_string_equal(why, "no base64url");
}

static void a_signature_in_der(void **state)
{
    static char token[8192];
    struct passport p;
    const char *why = NULL;
    uint8_t der[71] = {0x30, 69, 2, 32};
    size_t n = passport_sign_raw(k.key, VIEW(BASE), VIEW(CLAIMS), token) - 86;
    (void)state;
    n += base64url_put(view_from(der, sizeof der), token + n);
    assert_int_equal(passport_read(view_from(token, n), &p, &why), E_PARSE);
    assert_string_equal(why, "the signature has not the form of ES256");
}

static void base64url(void **state)
{
    static const struct {
        const char *text, *octets; /* NULL: refused */
    } of[] = {{"", ""},        {"Zg", "f"},        {"Zm8", "fo"},
              {"Zm9v", "foo"}, {"Zm9vYg", "foob"}, {"-_-_", "\xfb\xff\xbf"},
              {"Zh", NULL},    {"Zm9", NULL},      {"Z", NULL},
              {"Zg==", NULL},  {"Zm9v\n", NULL},   {"+/+/", NULL},
              {"Zm9vZ", NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        char out[8], again[16];
        size_t n = 99;
        bool ok = base64url_get(view_of(of[i].text), out, 6, &n);
        assert_int_equal(ok, of[i].octets != NULL);
        if (ok) {
            assert_int_equal(n, strlen(of[i].octets));
            assert_memory_equal(out, of[i].octets, n);
            assert_int_equal(base64url_put(view_from(out, n), again), strlen(of[i].text));
            assert_memory_equal(again, of[i].text, strlen(of[i].text));
        }
    }
    char out[8];
    size_t n = 0;
    assert_false(base64url_get(VIEW("Zm9vYmFy"), out, 5, &n));
    assert_true(base64url_get(VIEW("Zm9vYmFy"), out, 6, &n));
}

/* ---- Identity ---- */

#define INFO "info=<https://c.example/c.pem>"

static void headers(void **state)
{
    static const struct {
        const char *value, *info, *alg, *ppt; /* info NULL: refused, with alg as the reason */
    } of[] = {
        {"aa.bb.cc;" INFO, "https://c.example/c.pem", "", ""},
        {"aa.bb.cc;" INFO ";alg=ES256;ppt=\"shaken\"", "https://c.example/c.pem", "ES256",
         "shaken"},
        {"aa.bb.cc;" INFO ";alg=ES256;ppt=shaken", "https://c.example/c.pem", "ES256", "shaken"},
        {"aa.bb.cc ; info = <https://c.example/c.pem> ; ppt = \"div\" ", "https://c.example/c.pem",
         "", "div"},
        {"aa.bb.cc;ALG=ES256;PPT=div;" INFO, "https://c.example/c.pem", "ES256", "div"},
        {"aa.bb.cc;" INFO ";x;y=\"a;b,c\";z=[::1]:5", "https://c.example/c.pem", "", ""},
        {"..cc;" INFO, "https://c.example/c.pem", "", ""},
        {"", NULL, "no token of three parts", NULL},
        {";" INFO, NULL, "no token of three parts", NULL},
        {"aa.bb;" INFO, NULL, "no token of three parts", NULL},
        {"aa.bb.cc.dd;" INFO, NULL, "no token of three parts", NULL},
        {"aa.bb.;" INFO, NULL, "no token of three parts", NULL},
        {".bb.cc;" INFO, NULL, "no token of three parts", NULL},
        {"aa..cc;" INFO, NULL, "no token of three parts", NULL},
        {"..;" INFO, NULL, "no token of three parts", NULL},
        {"aa.bb.cc", NULL, "no info", NULL},
        {"aa.bb.cc;alg=ES256", NULL, "no info", NULL},
        {"aa.bb.cc;info", NULL, "info is no URI in < >", NULL},
        {"aa.bb.cc;info=https://c.example/c.pem", NULL, "info is no URI in < >", NULL},
        {"aa.bb.cc;info=<https://c.example/c.pem", NULL, "info is no URI in < >", NULL},
        {"aa.bb.cc;info=<>", NULL, "info is no URI", NULL},
        {"aa.bb.cc;info=<c.pem>", NULL, "info is no URI", NULL},
        {"aa.bb.cc;info=<https://a b>", NULL, "info is no URI", NULL},
        {"aa.bb.cc;" INFO ";" INFO, NULL, "info twice", NULL},
        {"aa.bb.cc;" INFO ";alg=ES384", NULL, "alg is not ES256", NULL},
        {"aa.bb.cc;" INFO ";alg=none", NULL, "alg is not ES256", NULL},
        {"aa.bb.cc;" INFO ";alg", NULL, "alg is not ES256", NULL},
        {"aa.bb.cc;" INFO ";alg=ES256;alg=ES256", NULL, "alg twice", NULL},
        {"aa.bb.cc;" INFO ";ppt=div;ppt=div", NULL, "ppt twice", NULL},
        {"aa.bb.cc;" INFO ";ppt", NULL, "ppt is empty", NULL},
        {"aa.bb.cc;" INFO ";ppt=\"\"", NULL, "ppt is empty", NULL},
        {"aa.bb.cc;" INFO ";ppt=", NULL, "a parameter with a bad value", NULL},
        {"aa.bb.cc;" INFO ";x=\"a", NULL, "a parameter with a bad value", NULL},
        {"aa.bb.cc;" INFO ";x=\"a\\\"b\"", NULL, "a parameter with a bad value", NULL},
        {"aa.bb.cc;" INFO ";x=\"a\001\"", NULL, "a parameter with a bad value", NULL},
        {"aa.bb.cc;" INFO ";", NULL, "a parameter without name", NULL},
        {"aa.bb.cc;" INFO ",dd.ee.ff;" INFO, NULL, "a semicolon is expected", NULL},
        {"aa.bb.cc\r\n;" INFO, NULL, "a semicolon is expected", NULL},
        {"aa.bb.cc;" INFO ";a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p", NULL, "too many parameters", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        struct identity_header h;
        const char *why = "";
        enum err e = identity_header_read(view_of(of[i].value), &h, &why);
        if (e != (of[i].info ? E_OK : E_PARSE) || strcmp(why, of[i].info ? "" : of[i].alg) != 0) {
            fail_msg("%s: %s %s", of[i].value, err_name(e), why);
        }
        if (e == E_OK) {
            assert_true(view_eq(h.info, view_of(of[i].info)));
            assert_true(view_eq(h.alg, view_of(of[i].alg)));
            assert_true(view_eq(h.ppt, view_of(of[i].ppt)));
            assert_int_equal(h.is_compact, of[i].value[0] == '.');
        }
    }
}

static void a_header_written_is_read(void **state)
{
    static const enum passport_type types[] = {PASSPORT_BASE, PASSPORT_SHAKEN, PASSPORT_DIV};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct passport p = {.type = types[i],
                             .x5u = "https://c.example/c.pem",
                             .orig.tn = "1",
                             .n_dest = 1,
                             .dest = {{.tn = "2"}},
                             .div.tn = "3",
                             .attest = 'C',
                             .origid = UUID},
                        q;
        char token[PASSPORT_MAX + 1], text[2900];
        struct identity_header h;
        const char *why = NULL;
        assert_int_equal(passport_make(&p, k.key, token, sizeof token), E_OK);
        assert_int_equal(identity_header_write(&p, token, text, sizeof text), E_OK);
        assert_true(view_starts(view_of(text), VIEW("Identity: ")));
        assert_int_equal(identity_header_read(view_of(text + 10), &h, &why), E_OK);
        assert_true(view_eq(h.token, view_of(token)));
        assert_int_equal(passport_read(h.token, &q, &why), E_OK);
        assert_true(identity_header_agrees(&h, &q, &why));
        h.ppt = VIEW("rph");
        assert_false(identity_header_agrees(&h, &q, &why));
        assert_string_equal(why, "ppt is not that of the token");
        h.info = VIEW("https://C.example/c.pem");
        assert_false(identity_header_agrees(&h, &q, &why));
        assert_string_equal(why, "info is not the x5u of the token");
        size_t n = strlen(text);
        assert_int_equal(identity_header_write(&p, token, text, n), E_RANGE);
        assert_string_equal(text, "");
        assert_int_equal(identity_header_write(&p, token, text, n + 1), E_OK);
    }
    struct passport other = {.type = PASSPORT_OTHER};
    char text[64];
    assert_int_equal(identity_header_write(&other, "a.b.c", text, sizeof text), E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(bounds),
        cmocka_unit_test(shapes),
        cmocka_unit_test(a_signature_in_der),
        cmocka_unit_test(base64url),
        cmocka_unit_test(headers),
        cmocka_unit_test(a_header_written_is_read),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
