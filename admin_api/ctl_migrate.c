/* Migrations: migrations/NNNN_name.sql in order, each in one transaction together with its row in
 * public.schema_migrations; one runner at a time (advisory lock); an applied file that changed is
 * refused. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin_api/ctl.h"
#include "base/crypto.h"
#include "base/mem.h"

#define SQL_MAX_BYTES  (1024 * 1024)
#define MIGRATIONS_MAX 512

struct migration {
    char file[128]; /* 0001_core.sql */
    char number[5]; /* "0001" */
    char sha256[65];
    char *sql;
};

struct migrations {
    size_t n;
    struct migration m[MIGRATIONS_MAX];
};

static bool is_migration(const char *name)
{
    size_t n = strlen(name);

    return n > 9 && n < 128 && strspn(name, "0123456789") == 4 && name[4] == '_' &&
           strcmp(name + n - 4, ".sql") == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct migration *)a)->file, ((const struct migration *)b)->file);
}

static char *read_sql(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = f != NULL ? mem_zalloc(SQL_MAX_BYTES) : NULL;
    size_t n = text != NULL ? fread(text, 1, SQL_MAX_BYTES, f) : 0;

    if (f != NULL) {
        fclose(f);
    }
    if (text != NULL && (n == 0 || n == SQL_MAX_BYTES)) {
        mem_free(text);
        text = NULL;
    }
    return text;
}

static int load_one(const char *folder, const char *name, struct migration *m)
{
    char path[512];
    uint8_t digest[SHA256_BYTES];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(m->file, sizeof m->file, "%.127s", name);
    snprintf(m->number, sizeof m->number, "%.4s", name);
    m->sql = read_sql(path);
    if (m->sql == NULL) {
        return ctl_fail(CTL_BROKEN, "%s: cannot be read, empty, or over 1 MiB", path);
    }
    if (sha256(view_of(m->sql), digest) != E_OK) {
        return ctl_fail(CTL_BROKEN, "cannot hash %s", path);
    }
    hex_put(digest, sizeof digest, m->sha256);
    return CTL_OK;
}

static void forget(struct migrations *all)
{
    for (size_t i = 0; i < all->n; i++) {
        mem_free(all->m[i].sql);
    }
    mem_free(all);
}

static int load_all(const char *folder, struct migrations *all)
{
    DIR *d = opendir(folder);
    struct dirent *entry = NULL;
    int rc = CTL_OK;

    if (d == NULL) {
        return ctl_fail(CTL_BROKEN, "no folder %s", folder);
    }
    while (rc == CTL_OK && (entry = readdir(d)) != NULL) {
        if (is_migration(entry->d_name) && all->n < MIGRATIONS_MAX) {
            rc = load_one(folder, entry->d_name, &all->m[all->n]);
            all->n += rc == CTL_OK;
        }
    }
    closedir(d);
    qsort(all->m, all->n, sizeof all->m[0], by_name);
    for (size_t i = 1; rc == CTL_OK && i < all->n; i++) {
        if (strcmp(all->m[i].number, all->m[i - 1].number) == 0) {
            rc = ctl_fail(CTL_BROKEN, "%s and %s have the same number", all->m[i - 1].file,
                          all->m[i].file);
        }
    }
    return rc == CTL_OK && all->n == 0 ? ctl_fail(CTL_BROKEN, "no migrations in %s", folder) : rc;
}

/* Roles belong to the cluster and may be there from another database. No passwords: peer or scram
 * set up by whoever runs the database. */
static const char prepare[] =
    "DO $$ DECLARE r text; BEGIN\n"
    "  FOREACH r IN ARRAY ARRAY['hg_gc', 'hg_prov', 'hg_admin', 'hg_li', 'hg_trace', 'hg_api'] "
    "LOOP\n"
    "    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN\n"
    "      EXECUTE format('CREATE ROLE %I LOGIN', r);\n"
    "    END IF;\n"
    "  END LOOP;\n"
    "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;\n"
    "CREATE TABLE IF NOT EXISTS public.schema_migrations (\n"
    "  number text PRIMARY KEY, file text NOT NULL, sha256 text NOT NULL,\n"
    "  applied_at timestamptz NOT NULL DEFAULT now());\n"
    "GRANT USAGE ON SCHEMA public TO hg_api;\n"
    "GRANT SELECT ON public.schema_migrations TO hg_api;\n";

static int script(struct ctl *c, const char *sql, const char *what)
{
    char why[512];

    return pg_sync_script(c->db, sql, why, sizeof why) == E_OK
               ? CTL_OK
               : ctl_fail(CTL_REFUSED, "%s: %s", what, why);
}

/* CTL_OK and *applied, or refusal when the applied text was another. */
static int check_applied(struct ctl *c, const struct migration *m, bool *applied)
{
    struct pg_result *r = NULL;
    int rc = ctl_query(c, "SELECT sha256 FROM public.schema_migrations WHERE number = $1",
                       (const struct pg_param[]){PG_TEXT(view_of(m->number))}, 1, &r);

    if (rc == CTL_OK) {
        *applied = pg_rows(r) == 1;
        if (*applied && !view_eq(pg_text(r, 0, 0), view_of(m->sha256))) {
            rc = ctl_fail(CTL_REFUSED, "%s was changed after it had been applied", m->file);
        }
    }
    pg_result_free(r);
    return rc;
}

static int apply(struct ctl *c, const struct migration *m)
{
    int rc = script(c, "BEGIN", m->file);

    if (rc == CTL_OK) {
        rc = script(c, m->sql, m->file);
    }
    if (rc == CTL_OK) {
        rc = ctl_query(
            c, "INSERT INTO public.schema_migrations (number, file, sha256) VALUES ($1, $2, $3)",
            (const struct pg_param[]){PG_TEXT(view_of(m->number)), PG_TEXT(view_of(m->file)),
                                      PG_TEXT(view_of(m->sha256))},
            3, NULL);
    }
    if (rc == CTL_OK) {
        return script(c, "COMMIT", m->file);
    }
    (void)script(c, "ROLLBACK", m->file);
    return rc;
}

static int run_all(struct ctl *c, const struct migrations *all, bool dry_run)
{
    int rc = CTL_OK;
    size_t done = 0;

    for (size_t i = 0; rc == CTL_OK && i < all->n; i++) {
        bool applied = false;
        rc = check_applied(c, &all->m[i], &applied);
        if (rc == CTL_OK && !applied) {
            printf("%s %s\n", dry_run ? "would apply" : "applying", all->m[i].file);
            rc = dry_run ? CTL_OK : apply(c, &all->m[i]);
            done += rc == CTL_OK;
        }
    }
    if (rc == CTL_OK && done == 0) {
        printf("the schema is up to date (%s)\n", all->m[all->n - 1].file);
    }
    return rc;
}

int ctl_migrate(struct ctl *c, struct ctl_args *a)
{
    struct migrations *all = mem_zalloc(sizeof *all);
    bool dry_run = ctl_flag(a, "--dry-run");
    int rc = a->n == 0 && all != NULL
                 ? load_all(c->migrations, all)
                 : ctl_fail(CTL_USAGE, "usage: headgatectl migrate [--dry-run]");

    if (rc == CTL_OK && ctl_db(c) == NULL) {
        rc = CTL_UNREACHABLE;
    }
    if (rc == CTL_OK) {
        rc = script(c, "SELECT pg_advisory_lock(7611)", "lock");
    }
    if (rc == CTL_OK) {
        rc = script(c, prepare, "roles");
    }
    if (rc == CTL_OK) {
        BUG_ON(all == NULL); /* it was loaded, or rc says otherwise */
        rc = run_all(c, all, dry_run);
    }
    if (all != NULL) {
        forget(all);
    }
    return rc;
}

int ctl_migrate_status(struct ctl *c, struct ctl_args *a)
{
    struct pg_result *r = NULL;
    int rc = a->n == 0
                 ? ctl_query(c,
                             "SELECT number, file, to_char(applied_at AT TIME ZONE 'UTC', "
                             "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM public.schema_migrations "
                             "ORDER BY 1",
                             NULL, 0, &r)
                 : ctl_fail(CTL_USAGE, "usage: headgatectl migrate status");

    if (rc == CTL_OK) {
        rc = ctl_show(c, r, (const char *const[]){"number", "file", "applied", NULL});
    }
    pg_result_free(r);
    return rc;
}
