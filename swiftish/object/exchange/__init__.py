"""The conversation between two object servers, one of which has what the other may lack.

All requests are `REPLICATE /<device>/<partition>/<what>`, documents both ways:

    sender                                          receiver
    digests                                    ->
                                               <-   of each suffix; is it a primary, by its ring?
    offer    these files, by suffixes that differ ->
                                               <-   of them it lacks these; the others it has, or
                                                    something newer
    files    small ones, many at a time        ->   verified, then committed as a PUT is
                                               <-   what became of each
    file     a large one, in blocks            ->   the same

protocol   the messages, and what is refused in them                             (pure)
transfer   files as they are sent, and as they are taken in                      (blocking)
sender     asks one device; bounded in time
receiver   the verb
"""
