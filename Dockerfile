# The app alone, as a Space has it: no torch, no fastai, no training code.
#   docker build -t spotter . && docker run -p 7860:7860 -e MODEL_STORE=hf://owner/bears spotter
FROM python:3.12-slim AS files
COPY app.py locked.txt /checkout/
COPY spotter /checkout/spotter
RUN python -I /checkout/spotter/deploy/serving_files.py /checkout /app

FROM python:3.12-slim
RUN useradd --create-home --uid 1000 spotter
WORKDIR /app
COPY --from=files /app/locked.txt ./
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r locked.txt
COPY --from=files /app ./
USER spotter
ENV PYTHONUNBUFFERED=1
EXPOSE 7860
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/readyz', timeout=5)"]
CMD ["python", "app.py", "--host", "0.0.0.0"]
