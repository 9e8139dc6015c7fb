#error "the consumer's own header core/error.h is none of the library's business"
