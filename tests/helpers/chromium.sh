#!/bin/sh
# Chromium without the two pages of its own that are ready under the address bar: they cost half a second of processor
# time for each new context. Playwright switches off other features, and of two lists only the last one counts.
for argument; do
    shift
    case $argument in
        --disable-features=*) argument=$argument,WebUIOmniboxPopup,WebUIOmniboxAimPopup ;;
    esac
    set -- "$@" "$argument"
done
exec /usr/bin/chromium "$@"
