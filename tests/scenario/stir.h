/* tests/scenario/stir.h - a world of signers for scenarios: an authority, a signer of others with a
 * certificate, our own key, trunks that sign and check; and a certificate repository that answers
 * when the test says so. */
#ifndef TESTS_SCENARIO_STIR_H
#define TESTS_SCENARIO_STIR_H

#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pki.h"
#include "gc/stir_int.h"
#include "tests/scenario/bench.h"

#define STIR_OURS  "https://cert.headgate.test/ours.pem"
#define STIR_PEERS "https://cert.peer.test/theirs.pem"
#define PEER       "+442079460000"

enum { ASKED = 16, FILES = 8 };

struct stir_world {
    char path[FILES][128];
    unsigned n_paths;
    struct p256_key root, ours, theirs, rogue;
    struct ec_key *theirs_key, *rogue_key;
    struct ec_public *ours_public;
    char theirs_pem[8192];
    size_t theirs_pem_n;
    struct stir *stir;
    char asked[ASKED][STIR_URL_MAX];
    unsigned n_asked;
    bool is_full;
};

static struct stir_world world;
static char world_dir[64];
static struct trunk rows[5];
static struct route routes[4];

static inline const char *world_path(const char *name)
{
    assert_true(world.n_paths < FILES);
    snprintf(world.path[world.n_paths], sizeof world.path[0], "%s/%s", world_dir, name);
    return world.path[world.n_paths++];
}

static inline struct pki_subject subject(const char *name)
{
    return (struct pki_subject){
        .common_name = name, .not_before_us = 1699990000000000u, .days = 30};
}

/* A signer's certificate of our authority for that provider code. */
static inline void world_issue(const char *path, const struct p256_key *key)
{
    const struct stir_tn numbers = {.kind = STIR_SPC, .text = "1234"};
    struct pki_subject s = subject("signer");
    assert_int_equal(pki_issue_stir(world.path[0], &world.root, &s, &numbers, key->pub, path),
                     E_OK);
}

static inline size_t slurp(const char *path, char *out, size_t max)
{
    FILE *f = fopen(path, "r");
    size_t n = 0;
    assert_non_null(f);
    n = fread(out, 1, max, f);
    assert_int_equal(fclose(f), 0);
    return n;
}

/* The public half of a key file, as others would have it. */
static inline struct ec_public *public_of(const char *path)
{
    struct ec_public *public = NULL;
    FILE *f = fopen(path, "r");
    EVP_PKEY *key = f != NULL ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
    BIO *out = BIO_new(BIO_s_mem());
    char *pem = NULL;
    long n = 0;
    assert_true(key != NULL && PEM_write_bio_PUBKEY(out, key));
    n = BIO_get_mem_data(out, &pem);
    assert_int_equal(ec_public_read(view_from(pem, (size_t)n), &public), E_OK);
    BIO_free(out);
    EVP_PKEY_free(key);
    fclose(f);
    return public;
}

static inline void world_make(void)
{
    struct pki_subject root = subject("root");
    const char *ours = NULL, *theirs = NULL, *rogue = NULL, *pem = NULL;
    memset(&world, 0, sizeof world);
    strcpy(world_dir, "/tmp/stir.XXXXXX");
    assert_non_null(mkdtemp(world_dir));
    assert_int_equal(p256_generate(&world.root), E_OK);
    assert_int_equal(p256_generate(&world.ours), E_OK);
    assert_int_equal(p256_generate(&world.theirs), E_OK);
    assert_int_equal(p256_generate(&world.rogue), E_OK);
    assert_int_equal(pki_make_root(&root, &world.root, world_path("root.pem")), E_OK);
    ours = world_path("ours.key");
    theirs = world_path("theirs.key");
    rogue = world_path("rogue.key");
    pem = world_path("theirs.pem");
    assert_int_equal(pki_key_save(ours, &world.ours), E_OK);
    assert_int_equal(pki_key_save(theirs, &world.theirs), E_OK);
    assert_int_equal(pki_key_save(rogue, &world.rogue), E_OK);
    assert_int_equal(ec_key_load(theirs, &world.theirs_key), E_OK);
    assert_int_equal(ec_key_load(rogue, &world.rogue_key), E_OK);
    world.ours_public = public_of(ours);
    world_issue(pem, &world.theirs);
    world.theirs_pem_n = slurp(pem, world.theirs_pem, sizeof world.theirs_pem);
}

static inline void world_free(void)
{
    ec_key_free(world.theirs_key);
    ec_key_free(world.rogue_key);
    ec_public_free(world.ours_public);
    for (unsigned i = 0; i < world.n_paths; i++) {
        unlink(world.path[i]);
    }
    assert_int_equal(rmdir(world_dir), 0);
}

/* ---- the repository ----------------------------------------------------------------------------
 */
static inline bool on_ask(void *arg, const char *url)
{
    (void)arg;
    if (world.is_full) {
        return false;
    }
    assert_true(world.n_asked < ASKED);
    snprintf(world.asked[world.n_asked++], STIR_URL_MAX, "%s", url);
    return true;
}

static inline void fetched(struct bench *b, const char *url, enum stir_fetch_result result,
                           struct view body)
{
    const struct stir_fetched f = {.url = url, .result = result, .body = body, .took_us = 1000};
    stir_fetched(world.stir, &f);
    loop_run_once(b->w->loop, false);
    pass_ms(b, 0);
}

static inline struct view theirs_pem(void)
{
    return view_from(world.theirs_pem, world.theirs_pem_n);
}

static inline struct stir *make_stir(struct bench *b)
{
    const struct stir_cfg cfg = {.set = &b->set,
                                 .plan = &b->plan,
                                 .cluster_key = &b->cluster_key,
                                 .metrics = b->metrics,
                                 .clock = &b->clock.clock,
                                 .ask = on_ask,
                                 .arg = b};
    world.stir = NULL;
    assert_int_equal(stir_open(&cfg, &world.stir), E_OK);
    return world.stir;
}

/* ---- trunks ------------------------------------------------------------------------------------
 */
#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static inline void rows_reset(void)
{
    static const struct trunk plain[5] = {
        {.trunk_id = 1,
         .name = TEXT("signs"),
         .host = TEXT("127.0.8.1"),
         .proto = SIP_UDP + 1,
         .sources = TEXT("127.0.8.1/32"),
         .trusts_identity = true,
         .sends_identity = true,
         .stir_sign = true},
        {.trunk_id = 2,
         .name = TEXT("plain"),
         .host = TEXT("127.0.7.1"),
         .proto = SIP_UDP + 1,
         .sources = TEXT("127.0.7.1/32"),
         .trusts_identity = true,
         .sends_identity = true,
         .may_transit = true},
        {.trunk_id = 3,
         .name = TEXT("marks"),
         .host = TEXT("127.0.6.1"),
         .proto = SIP_UDP + 1,
         .sources = TEXT("127.0.6.1/32"),
         .trusts_identity = true,
         .sends_identity = true,
         .may_transit = true,
         .stir_verify = STIR_VERIFY_MARK},
        {.trunk_id = 4,
         .name = TEXT("rejects"),
         .host = TEXT("127.0.5.1"),
         .proto = SIP_UDP + 1,
         .sources = TEXT("127.0.5.1/32"),
         .sends_identity = true,
         .stir_verify = STIR_VERIFY_REJECT},
        {.trunk_id = 5,
         .name = TEXT("outside"),
         .host = TEXT("127.0.4.1"),
         .proto = SIP_UDP + 1,
         .sources = TEXT("127.0.4.1/32"),
         .default_number = TEXT("+12125550199"),
         .stir_sign = true},
    };
    static const struct route way[4] = {
        {.prefix = TEXT("+44"), .priority = 1, .name = TEXT("uk"), .route_id = 1, .trunk_id = 1},
        {.prefix = TEXT("+33"), .priority = 1, .name = TEXT("fr"), .route_id = 2, .trunk_id = 2},
        {.prefix = TEXT("+49"), .priority = 1, .name = TEXT("de"), .route_id = 3, .trunk_id = 5},
        {.prefix = TEXT("911"),
         .kind = ROUTE_EMERGENCY,
         .priority = 1,
         .name = TEXT("psap"),
         .route_id = 4,
         .trunk_id = 1},
    };
    memcpy(rows, plain, sizeof rows);
    memcpy(routes, way, sizeof routes);
}

static struct line lines[4] = {
    {.line_id = 1, .account_id = 1, .number = TEXT(ALICE), .services = LINE_CALLER_ID},
    {.line_id = 2, .account_id = 2, .number = TEXT(BOB), .services = LINE_CALLER_ID},
    {.line_id = 3, .account_id = 3, .number = TEXT(CAROL), .barred = true},
};

static inline void publish(struct bench *b)
{
    struct snapshot_input in = {.change_seq = 1,
                                .lines = lines,
                                .n_lines = 3,
                                .trunks = rows,
                                .n_trunks = 5,
                                .routes = routes,
                                .n_routes = 4};
    struct snapshot *old = b->snap;
    char why[128] = "";
    if (snapshot_build(&in, &b->snap, why, sizeof why) != E_OK) {
        fail_msg("snapshot: %s", why);
    }
    assert_int_equal(snapshot_left_out(b->snap), 0);
    b->w->snap = NULL;
    snapshot_free(old);
    pass_ms(b, 2000);
}

static inline unsigned identities(const struct got *got)
{
    unsigned n = 0;
    for (unsigned i = 0; i < got->m.n_headers; i++) {
        n += got->m.h[i].id == SIP_H_IDENTITY;
    }
    return n;
}

static inline void tune_stir(struct bench *b)
{
    b->stir = make_stir;
    b->set.stir_key = world.path[1];
    b->set.stir_certificate_url = STIR_OURS;
    b->set.stir_anchors = world.path[0];
}

static inline void world_open(struct bench *b, void (*tune)(struct bench *b))
{
    rows_reset();
    lines[1].forward[FORWARD_ALWAYS] = VIEW("");
    world.n_asked = 0;
    world.is_full = false;
    bench_open(b, tune != NULL ? tune : tune_stir);
    publish(b);
    forget_sent(b);
}

#endif
