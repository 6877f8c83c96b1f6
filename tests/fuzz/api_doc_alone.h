/* The real document with no handlers behind it. */
#include <stdio.h>

#include "admin_api/api_doc.h"
#include "admin_api/api_int.h"
#include "base/mem.h"

static void nothing(struct api_request *r, struct api_answer *a)
{
    (void)r;
    (void)a;
}

static struct api_doc *api_doc_alone(void)
{
    struct view text = api_document();
    json_t *j = json_loadb(text.p, text.n, 0, NULL), *path = NULL, *op = NULL;
    struct api_bind *all = mem_zalloc_array(2048, sizeof *all);
    const struct api_bind *tables[] = {all, NULL};
    const char *name = NULL, *method = NULL;
    struct api_doc *doc = NULL;
    char why[256];
    size_t n = 0;

    json_object_foreach(json_object_get(j, "paths"), name, path)
    {
        json_object_foreach(path, method, op)
        {
            const char *id = json_string_value(json_object_get(op, "operationId"));
            if (id != NULL && n < 2047) {
                all[n++] = (struct api_bind){id, nothing};
            }
        }
    }
    enum err e = api_doc_load(text, tables, &doc, why, sizeof why);
    if (e != E_OK) {
        fprintf(stderr, "%s\n", why);
    }
    BUG_ON(n == 0 || e != E_OK);
    mem_free(all);
    json_decref(j); /* the document has its own */
    return doc;
}
