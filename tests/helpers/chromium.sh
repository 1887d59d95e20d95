#!/bin/sh
# Chromium without the features in $UNWANTED_FEATURES. Playwright switches off other ones, and of two lists only the last
# one counts.
for argument; do
    shift
    case $argument in
        --disable-features=*) argument=$argument,$UNWANTED_FEATURES ;;
    esac
    set -- "$@" "$argument"
done
exec /usr/bin/chromium "$@"
