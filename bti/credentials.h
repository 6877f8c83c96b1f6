/* bti/credentials.h - bti credentials: Digest credentials for a standard phone or ATA behind this
 * BTI (docs/protocol.md section 18), of a session that is asked for and used for nothing else.
 * They end with it. Returns the exit code. */
#ifndef BTI_CREDENTIALS_H
#define BTI_CREDENTIALS_H

#include "bti/options.h"
#include "bti/say.h"

int credentials_run(const struct options *o, const struct say *say);

#endif
