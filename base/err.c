#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>

static _Thread_local const char *born_file = "?";
static _Thread_local int born_line;
static _Thread_local char born_text[96];

enum err err_born(enum err code, const char *file, int line)
{
    born_file = file;
    born_line = line;
    return code;
}

const char *err_name(enum err e)
{
#define NAME(id, text) #id,
    static const char *const names[] = {ERR_LIST(NAME)};
#undef NAME
    return (unsigned)e < E__COUNT ? names[e] : "E_UNKNOWN";
}

const char *err_text(enum err e)
{
#define TEXT(id, text) text,
    static const char *const texts[] = {ERR_LIST(TEXT)};
#undef TEXT
    return (unsigned)e < E__COUNT ? texts[e] : "unknown error";
}

const char *err_where(void)
{
    snprintf(born_text, sizeof born_text, "%s:%d", born_file, born_line);
    return born_text;
}

void bug_abort(const char *what, const char *file, int line)
{
    fprintf(stderr, "{\"level\":\"error\",\"event\":\"bug\",\"at\":\"%s:%d\",\"what\":\"", file,
            line);
    for (; *what != 0; what++) { /* a condition may hold a string literal */
        fprintf(stderr, *what == '"' || *what == '\\' ? "\\%c" : "%c", *what);
    }
    fputs("\"}\n", stderr);
    abort();
}
