/* What a signed call costs: CPU microseconds of one thread for making a token, reading it, checking
 * its signature, and holding a signer's certificate to its anchor. One line of JSON.
 * usage: passport_cost [SECONDS_FOR_EACH] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "authz/passport.h"
#include "base/pki.h"
#include "base/stir_cert.h"

#define NOW 1700000000u

static struct {
    struct ec_key *key;
    struct stir_anchors *anchors;
    struct stir_cert *cert;
    char pem[8192], token[PASSPORT_MAX + 1];
    size_t pem_n;
    struct passport claims, read;
} t;

static void need(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "passport_cost: %s\n", what);
        exit(1);
    }
}

static double cpu_us(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

/* ---- what is measured ---- */

static void make(void)
{
    need(passport_make(&t.claims, t.key, t.token, sizeof t.token) == E_OK, "make");
}

static void sign(void)
{
    uint8_t signature[EC_SIGNATURE_BYTES];
    need(ec_sign(t.key, t.read.signing_input, signature) == E_OK, "sign");
}

static void read_only(void)
{
    const char *why = NULL;
    need(passport_read(view_of(t.token), &t.read, &why) == E_OK, "read");
}

static void verify(void)
{
    need(passport_verify(&t.read, stir_cert_key(t.cert)) == E_OK, "verify");
}

static void header_read(void)
{
    static char text[2900];
    struct identity_header h;
    const char *why = NULL;
    if (!text[0]) {
        need(identity_header_write(&t.claims, t.token, text, sizeof text) == E_OK, "header");
    }
    need(identity_header_read(view_of(text + sizeof "Identity: " - 1), &h, &why) == E_OK, "header");
}

static void certificate(void)
{
    struct stir_cert *c = NULL;
    const char *why = NULL;
    need(stir_cert_read(view_from(t.pem, t.pem_n), t.anchors, NOW + 60, &c, &why) == E_OK, "cert");
    stir_cert_free(c);
}

static const struct {
    const char *name;
    void (*run)(void);
} parts[] = {{"make", make},      {"sign", sign},     {"header", header_read},
             {"read", read_only}, {"verify", verify}, {"certificate", certificate}};

/* The least of ten slices: what other work on the machine does is in the others. */
static double cost_us(void (*run)(void), double seconds)
{
    double best = 0;
    for (int slice = 0; slice < 10; slice++) {
        double from = cpu_us(), spent = 0;
        unsigned long n = 0;
        while (spent < seconds * 1e5) {
            for (int i = 0; i < 20; i++, n++) {
                run();
            }
            spent = cpu_us() - from;
        }
        double each = spent / (double)n;
        best = slice == 0 || each < best ? each : best;
    }
    return best;
}

static void set_up(void)
{
    struct p256_key root, signer;
    struct pki_subject ca = {"Root", NULL, (uint64_t)NOW * 1000000u, 30};
    struct pki_subject sp = {"sp.example.net", NULL, (uint64_t)NOW * 1000000u, 30};
    struct stir_tn code = {.kind = STIR_SPC, .text = "1234"};
    char dir[] = "/tmp/passport_costXXXXXX", root_pem[64], sp_pem[64], key[64], why[160];
    const char *reason = NULL;
    need(mkdtemp(dir) != NULL, "folder");
    snprintf(root_pem, sizeof root_pem, "%s/root.pem", dir);
    snprintf(sp_pem, sizeof sp_pem, "%s/sp.pem", dir);
    snprintf(key, sizeof key, "%s/sp.key", dir);
    need(p256_generate(&root) == E_OK && p256_generate(&signer) == E_OK &&
             pki_make_root(&ca, &root, root_pem) == E_OK && pki_key_save(key, &signer) == E_OK &&
             pki_issue_stir(root_pem, &root, &sp, &code, signer.pub, sp_pem) == E_OK &&
             ec_key_load(key, &t.key) == E_OK &&
             stir_anchors_load(root_pem, NULL, &t.anchors, why, sizeof why) == E_OK,
         "keys");
    FILE *f = fopen(sp_pem, "r");
    t.pem_n = f ? fread(t.pem, 1, sizeof t.pem, f) : 0;
    need(f && fclose(f) == 0 &&
             stir_cert_read(view_from(t.pem, t.pem_n), t.anchors, NOW + 60, &t.cert, &reason) ==
                 E_OK,
         "certificate");
    unlink(root_pem);
    unlink(sp_pem);
    unlink(key);
    rmdir(dir);
    secret_wipe(&root.d);
    secret_wipe(&signer.d);
    t.claims = (struct passport){.type = PASSPORT_SHAKEN,
                                 .x5u = "https://certs.example.net/sp.pem",
                                 .orig.tn = "12155550101",
                                 .n_dest = 1,
                                 .dest = {{.tn = "12155550102"}},
                                 .iat = NOW,
                                 .attest = 'A',
                                 .origid = "123e4567-e89b-12d3-a456-426655440000"};
    make();
    read_only();
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    set_up();
    printf("{");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        printf("%s\"%s_us\": %.2f", i ? ", " : "", parts[i].name, cost_us(parts[i].run, seconds));
    }
    printf("}\n");
    stir_cert_free(t.cert);
    stir_anchors_free(t.anchors);
    ec_key_free(t.key);
    return 0;
}
